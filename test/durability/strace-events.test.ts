/** From strace's text to events, on hand-written traces. */
import { describe, expect, test } from 'vitest'
import { emptyInitial, type RecordedEvent, type Recording } from './recording.ts'
import { checkReplay, IncompleteRecordingError } from './replay-check.ts'
import { UnseenWritesError } from './shared-maps.ts'
import { eventsOf } from './strace-events.ts'
import { parseTrace, TraceError, UnsupportedCallError } from './strace-parse.ts'

/** As strace prints it with -xx. */
const hex = (text: string): string =>
  [...Buffer.from(text)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')
const text = (value: string): string => `"${hex(value)}"`
const fd = (number: number, path: string): string => `${number}<${hex(path)}>`
const CWD = `AT_FDCWD<${hex('/db')}>`
const THREAD = 'clone3({flags=CLONE_VM|CLONE_FILES}, 88) = 2'
const opened = (number: number, path: string, flags = 'O_RDWR|O_CREAT'): string =>
  `openat(${CWD}, ${text(path)}, ${flags}, 0664) = ${fd(number, path)}`

function read(...lines: string[]): Recording {
  const ignore = (path: string): boolean => path === 'lock.mdb'
  const view = { folder: '/db', cwd: '/', stdout: '/out', ignore, initial: emptyInitial }
  const trace = lines.map((line) => (/^\d+ /.test(line) ? line : `1 ${line}`)).join('\n')
  return eventsOf(parseTrace(trace), view)
}

/** One short word for each event. */
function told(event: RecordedEvent): string {
  const span = `${event.start}-${event.end}`
  if (event.kind === 'write') {
    const bytes = Buffer.from(event.data).toString()
    return `${span} write ${event.file} ${event.offset} ${bytes}${event.synced ? ' synced' : ''}`
  }
  if (event.kind === 'resize') return `${span} resize ${event.file} ${event.size}`
  if (event.kind === 'sync') return `${span} sync ${event.target}${event.ok ? '' : ' failed'}`
  if (event.kind === 'line') return `${span} line ${event.text}`
  return `${span} ${event.cause} ${event.changes.map(({ path, to }) => `${path}:${to}`).join()}`
}

const story = (...lines: string[]): string[] => read(...lines).events.map(told)

describe('what is read', () => {
  test('calls of threads that overlap span from issue to return', () => {
    const events = story(
      THREAD,
      opened(3, '/db/a'),
      `1 pwrite64(${fd(3, '/db/a')}, ${text('xy')}, 2, 4 <unfinished ...>`,
      `2 fdatasync(${fd(3, '/db/a')} <unfinished ...>`,
      `1 <... pwrite64 resumed>) = 2`,
      `2 <... fdatasync resumed>) = 0`,
    )
    expect(events).toEqual(['2-2 create a:1', '3-5 write 1 4 xy', '4-6 sync 1'])
  })

  test('the file position, over seeks, vectors, appends and short writes', () => {
    const vectors = `[{iov_base=${text('cd')}, iov_len=2}, {iov_base=${text('e')}, iov_len=1}]`
    const events = story(
      opened(3, '/db/a'),
      `write(${fd(3, '/db/a')}, ${text('ab')}, 2) = 2`,
      `lseek(${fd(3, '/db/a')}, 8, SEEK_SET) = 8`,
      `writev(${fd(3, '/db/a')}, ${vectors}, 2) = 3`,
      `write(${fd(3, '/db/a')}, ${text('fgh')}, 3) = 1`,
      opened(4, '/db/a', 'O_WRONLY|O_APPEND'),
      `write(${fd(4, '/db/a')}, ${text('i')}, 1) = 1`,
    )
    expect(events.slice(1)).toEqual([
      '2-2 write 1 0 ab',
      '4-4 write 1 8 cde',
      '5-5 write 1 11 f',
      '7-7 write 1 12 i',
    ])
  })

  test('O_DSYNC belongs to the descriptor, its duplicates and those of threads and children', () => {
    const write = (number: number): string =>
      `pwrite64(${fd(number, '/db/a')}, ${text('x')}, 1, 0) = 1`
    const events = story(
      opened(3, '/db/a'),
      opened(4, '/db/a', 'O_WRONLY|O_DSYNC|O_CLOEXEC'),
      `dup(${fd(4, '/db/a')}) = ${fd(5, '/db/a')}`,
      THREAD,
      `clone(child_stack=NULL, flags=SIGCHLD) = 7`,
      ...[write(3), write(4), write(5), `2 ${write(4)}`, `7 ${write(4)}`],
    )
    expect(events.slice(1).map((event) => event.endsWith(' synced'))).toEqual([
      ...[false, true, true, true, true],
    ])
  })

  test('renames, removals, folders and truncations', () => {
    const events = story(
      `mkdir(${text('/db/d')}, 0777) = 0`,
      opened(3, '/db/d/t'),
      `rename(${text('/db/d/t')}, ${text('/db/f')}) = 0`,
      `ftruncate(${fd(3, '/db/f')}, 7) = 0`,
      `openat(${CWD}, ${text('d')}, O_RDONLY|O_DIRECTORY) = ${fd(4, '/db/d')}`,
      `fsync(${fd(4, '/db/d')}) = 0`,
      `unlinkat(${CWD}, ${text('f')}, 0) = 0`,
      `mkdir(${text('/db/d')}, 0777) = -1 EEXIST (File exists)`,
    )
    expect(events).toEqual([
      '1-1 mkdir d:folder',
      '2-2 create d/t:1',
      '3-3 rename d/t:null,f:1',
      '4-4 resize 1 7',
      '6-6 sync d',
      '7-7 remove f:null',
    ])
  })

  test('lines from stdout, however they were written', () => {
    const say = (said: string): string =>
      `write(${fd(1, '/out')}, ${text(said)}, ${said.length}) = ${said.length}`
    expect(story(say('ack 1\nack'), say(' 2\n'))).toEqual(['1-1 line ack 1', '2-2 line ack 2'])
  })

  test('a write that failed with EIO, or whose thread was killed in it, for ever in doubt', () => {
    const write = `pwrite64(${fd(3, '/db/a')}, ${text('x')}, 1, 0`
    const events = story(
      THREAD,
      opened(3, '/db/a'),
      `${write}) = -1 EIO (Input/output error)`,
      `${write}) = -1 ENOSPC (No space left on device)`,
      `${write}) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)`,
      `fdatasync(${fd(3, '/db/a')}) = -1 EIO (Input/output error) (INJECTED)`,
      `2 ${write} <unfinished ...>`,
      `1 fdatasync(${fd(3, '/db/a')} <unfinished ...>`,
      `2 <... ??? resumed>) = ?`,
      `3 ???()                             = ?`,
      `1 +++ killed by SIGKILL +++`,
    )
    expect(events.slice(1)).toEqual([
      '3-Infinity write 1 0 x',
      '6-6 sync 1 failed',
      '7-Infinity write 1 0 x',
    ])
  })
})

describe('what is refused', () => {
  const map = (path: string, protection: string): string =>
    `mmap(NULL, 8192, ${protection}, MAP_SHARED, ${fd(3, path)}, 0) = 0x7000`

  test('a data file mapped shared and writable, but not the lock file', () => {
    expect(() => story(map('/db/a', 'PROT_READ|PROT_WRITE'))).toThrow(UnseenWritesError)
    expect(story(map('/db/lock.mdb', 'PROT_READ|PROT_WRITE'))).toEqual([])
    expect(story(map('/db/a', 'PROT_READ'))).toEqual([])
  })

  test('a map made writable later, unless it is gone by then', () => {
    const protect = 'mprotect(0x8000, 4096, PROT_READ|PROT_WRITE) = 0'
    expect(() => story(map('/db/a', 'PROT_READ'), protect)).toThrow(UnseenWritesError)
    expect(story(map('/db/a', 'PROT_READ'), 'munmap(0x7000, 8192) = 0', protect)).toEqual([])
  })

  test('bytes that strace cut short', () => {
    const cut = `pwrite64(${fd(3, '/db/a')}, ${text('x')}..., 9, 0) = 9`
    expect(() => story(opened(3, '/db/a'), cut)).toThrow(TraceError)
  })

  test('writes by calls whose bytes are not shown', () => {
    const copy = `copy_file_range(${fd(9, '/etc/x')}, NULL, ${fd(3, '/db/a')}, NULL, 9, 0) = 9`
    expect(() => story(opened(3, '/db/a'), copy)).toThrow(UnsupportedCallError)
    expect(() => story('io_uring_setup(64, {flags=0}) = 5')).toThrow(UnsupportedCallError)
  })

  test('two threads moving one file position at once', () => {
    const write = `write(${fd(3, '/db/a')}, ${text('x')}, 1`
    const lines = [`${write} <unfinished ...>`, `2 ${write}) = 1`, `1 <... write resumed>) = 1`]
    expect(() => story(opened(3, '/db/a'), THREAD, ...lines)).toThrow(UnsupportedCallError)
  })

  test('a recording that does not replay to the folder as it was left', () => {
    const seen = read(opened(3, '/db/a'), `pwrite64(${fd(3, '/db/a')}, ${text('xy')}, 2, 0) = 2`)
    const actual = (content: string): Recording['initial'] => ({
      folders: [],
      files: new Map([['a', { id: 1, data: Buffer.from(content) }]]),
    })
    expect(() => checkReplay(seen, actual('xy'))).not.toThrow()
    expect(() => checkReplay(seen, actual('xz'))).toThrow(IncompleteRecordingError)
    expect(() => checkReplay(seen, actual('xyz'))).toThrow(IncompleteRecordingError)
    expect(() => checkReplay(seen, emptyInitial)).toThrow(IncompleteRecordingError)
  })
})
