/** The crash model on hand-written histories: what each sync covers, and what a crash may leave. */
import { describe, expect, test } from 'vitest'
import { crashMoments, dropAll, fatesAt, keepAll, seeded, sizesOnly } from './crash-fates.ts'
import { CrashModel, type DirectoryModel, type Fate, SECTOR_BYTES } from './crash-image.ts'
import type { Entry, FileId, RecordedEvent, Recording } from './recording.ts'

type Span = readonly [start: number, end: number]

const FILE = 1

/** `sectors('aab')` is two sectors of a and one of b. */
function sectors(text: string): Uint8Array {
  return Buffer.concat([...text].map((char) => Buffer.alloc(SECTOR_BYTES, char)))
}

/** The reverse: one character for each sector, `.` for zeros, `?` for a mixture. */
function shown(bytes: Uint8Array | undefined): string {
  if (!bytes) return 'missing'
  let text = ''
  for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
    const values = new Set(bytes.subarray(at, at + SECTOR_BYTES))
    const [value = 0] = values
    text += values.size > 1 ? '?' : value === 0 ? '.' : String.fromCharCode(value)
  }
  return text
}

const write = (
  [start, end]: Span,
  sector: number,
  text: string,
  synced = false,
): RecordedEvent => ({
  ...{ kind: 'write', file: FILE, offset: sector * SECTOR_BYTES, data: sectors(text) },
  ...{ synced, start, end },
})
const sync = ([start, end]: Span, target: FileId | string = FILE, ok = true): RecordedEvent => ({
  ...{ kind: 'sync', target, ok, start, end },
})
const resize = ([start, end]: Span, count: number, growOnly = false): RecordedEvent => ({
  ...{ kind: 'resize', file: FILE, size: count * SECTOR_BYTES, growOnly, start, end },
})
const entry = (
  [start, end]: Span,
  cause: 'create' | 'mkdir' | 'rename' | 'remove',
  changes: Record<string, Entry | null>,
): RecordedEvent => ({
  ...{ kind: 'entries', cause, start, end },
  changes: Object.entries(changes).map(([path, to]) => ({ path, to })),
})
const line = (at: number, text: string): RecordedEvent => ({
  ...{ kind: 'line', text, start: at, end: at },
})

function recording(events: readonly RecordedEvent[], text = ''): Recording {
  return {
    initial: { folders: [], files: new Map([['f', { id: FILE, data: sectors(text) }]]) },
    events,
  }
}

/** The file's content for a crash at a moment: the worst, or the one of another fate. */
function left(events: readonly RecordedEvent[], at: number, fate: Fate = dropAll): string {
  return shown(new CrashModel(recording(events)).imageAt(at, fate).files.get('f'))
}

const keepOnly = (...indexes: number[]): Fate => ({
  name: `only ${indexes.join()}`,
  keeps: (op) => indexes.includes(op.index),
})

describe('what a sync covers', () => {
  test('the writes that returned before it was issued, once it returned', () => {
    const events = [write([1, 2], 0, 'a'), sync([3, 6])]
    expect(left(events, 6)).toBe('')
    expect(left(events, 7)).toBe('a')
  })

  test('not a write of another thread that overlaps it, nor a later one', () => {
    const events = [write([1, 4], 0, 'a'), sync([3, 6]), write([5, 7], 1, 'b'), sync([8, 9])]
    expect(left(events, 8)).toBe('')
    expect(left(events, 10)).toBe('ab')
  })

  test('not a write to another file', () => {
    expect(left([write([1, 1], 0, 'a'), sync([2, 2], 7)], 3)).toBe('')
  })

  test('nothing if it failed, and what it should have covered stays lost to later ones', () => {
    const events = [write([1, 1], 0, 'a'), sync([2, 2], FILE, false), sync([3, 3])]
    expect(left(events, 4)).toBe('')
    expect(left([...events, write([5, 5], 0, 'b'), sync([6, 6])], 7)).toBe('b')
  })

  test('not a write that never returned', () => {
    expect(left([write([1, Infinity], 0, 'a'), sync([2, 2])], 3)).toBe('')
  })

  test('an O_DSYNC write is its own sync, and nothing else’s', () => {
    const events = [write([1, 1], 0, 'a'), write([2, 5], 1, 'b', true)]
    expect(left(events, 5)).toBe('')
    expect(left(events, 6)).toBe('.b')
  })
})

describe('what a crash may leave', () => {
  test('any of the writes without the others', () => {
    const events = [write([1, 1], 0, 'a'), write([2, 2], 1, 'b'), write([3, 3], 2, 'c')]
    expect(left(events, 4, keepAll)).toBe('abc')
    expect(left(events, 4, keepOnly(2))).toBe('..c')
    expect(left(events, 4, keepOnly(0))).toBe('a')
  })

  test('a part of a write, by sectors', () => {
    const torn: Fate = { name: 'torn', keeps: (_op, sector) => sector < 2 }
    expect(left([write([1, 1], 0, 'aaaa')], 2, torn)).toBe('aa')
  })

  test('for each sector a version not older than the one synced', () => {
    const events = [
      write([1, 1], 0, 'aa'),
      sync([2, 2]),
      write([3, 3], 0, 'bb'),
      write([4, 4], 0, 'c'),
    ]
    expect(left(events, 5)).toBe('aa')
    expect(left(events, 5, keepOnly(1))).toBe('bb')
    expect(left(events, 5, keepOnly(2))).toBe('ca')
  })

  test('a sector written out holds the earlier writes to it as well', () => {
    const half = (at: number, offset: number, char: string): RecordedEvent => ({
      ...{ kind: 'write', file: FILE, offset, data: Buffer.alloc(256, char) },
      ...{ synced: false, start: at, end: at },
    })
    const image = new CrashModel(recording([half(1, 0, 'a'), half(2, 256, 'b')])).imageAt(
      3,
      keepOnly(1),
    )
    expect(Buffer.from(image.files.get('f') ?? []).toString()).toBe(
      'a'.repeat(256) + 'b'.repeat(256),
    )
  })

  test('a file that has grown, without the bytes', () => {
    expect(left([write([1, 1], 0, 'aa')], 2, sizesOnly)).toBe('..')
  })

  test('a truncation or none, and zeros where a truncated file grows again', () => {
    const events = [write([1, 1], 0, 'aaa'), sync([2, 2]), resize([3, 3], 1), write([4, 4], 2, 'c')]
    expect(left(events, 5)).toBe('aaa')
    expect(left(events, 5, keepOnly(1))).toBe('a')
    expect(left(events, 5, keepAll)).toBe('a.c')
    expect(left([...events, sync([5, 5])], 6)).toBe('a.c')
  })

  test('an allocation only makes a file longer', () => {
    const events = [write([1, 1], 0, 'aa'), resize([2, 2], 1, true), resize([3, 3], 3, true)]
    expect(left(events, 4, keepAll)).toBe('aa.')
  })

  test('the same whatever order moments are asked in', () => {
    const model = new CrashModel(
      recording([write([1, 1], 0, 'a'), sync([2, 2]), write([3, 3], 0, 'b')]),
    )
    const at = (moment: number): string => shown(model.imageAt(moment, dropAll).files.get('f'))
    expect([at(4), at(2), at(4)]).toEqual(['a', '', 'a'])
  })
})

describe('directory entries', () => {
  const paths = (
    events: readonly RecordedEvent[],
    at: number,
    fate: Fate = dropAll,
    model: DirectoryModel = 'ext4',
  ): string => {
    const initial = { folders: [], files: new Map([['old', { id: 9, data: sectors('o') }]]) }
    const image = new CrashModel({ initial, events }, model).imageAt(at, fate)
    const files = [...image.files].map(([path, bytes]) => `${path}=${shown(bytes)}`)
    return [...image.folders.map((path) => `${path}/`), ...files].sort().join(' ')
  }

  test('a new file may be missing until its folder is synced; on ext4, or the file itself', () => {
    const events = [entry([1, 1], 'create', { n: FILE }), write([2, 2], 0, 'a'), sync([3, 3])]
    expect(paths(events, 3)).toBe('old=o')
    expect(paths(events, 4)).toBe('n=a old=o')
    expect(paths(events, 4, dropAll, 'strict')).toBe('old=o')
    expect(paths([...events, sync([4, 4], '')], 5, dropAll, 'strict')).toBe('n=a old=o')
  })

  test('a new folder likewise, with what is in it', () => {
    const made = [entry([1, 1], 'mkdir', { d: 'folder' }), entry([2, 2], 'create', { 'd/n': FILE })]
    const events = [...made, write([3, 3], 0, 'a'), sync([4, 4])]
    expect(paths(events, 4)).toBe('old=o')
    expect(paths(events, 5)).toBe('d/ d/n=a old=o')
    const inner = [...events, sync([5, 5], 'd')]
    expect(paths(inner, 6, dropAll, 'strict')).toBe('old=o')
    expect(paths([...inner, sync([6, 6], '')], 7, dropAll, 'strict')).toBe('d/ d/n=a old=o')
  })

  test('a rename happened or did not, whole, until the folder is synced', () => {
    const written = [entry([1, 1], 'create', { n: FILE }), write([2, 2], 0, 'a'), sync([3, 3])]
    const events = [...written, entry([4, 4], 'rename', { n: null, old: FILE })]
    expect(paths(events, 5)).toBe('n=a old=o')
    expect(paths(events, 5, keepAll)).toBe('old=a')
    expect(paths([...events, sync([5, 5])], 6)).toBe('n=a old=o')
    expect(paths([...events, sync([5, 5], '')], 6)).toBe('old=a')
  })

  test('a file renamed before its bytes were synced may be empty', () => {
    const made = [entry([1, 1], 'create', { n: FILE }), write([2, 2], 0, 'a')]
    const events = [...made, entry([3, 3], 'rename', { n: null, old: FILE }), sync([4, 4], '')]
    expect(paths(events, 5)).toBe('old=')
  })

  test('a removal happened or did not', () => {
    const events = [entry([1, 1], 'remove', { old: null })]
    expect([paths(events, 2), paths(events, 2, keepAll)]).toEqual(['old=o', ''])
  })
})

describe('a log that acks each record after its sync', () => {
  const RECORDS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
  const history: RecordedEvent[] = RECORDS.flatMap((char, place) => {
    const at = place * 10
    return [write([at, at + 1], place, char), sync([at + 2, at + 4]), line(at + 5, `ack ${char}`)]
  })

  /** How many acks are missing from how many images, over all moments and fates. */
  function lost(events: readonly RecordedEvent[]): number {
    const model = new CrashModel(recording(events))
    const random = seeded(7)
    let violations = 0
    for (const at of crashMoments(model, 60, random)) {
      for (const fate of fatesAt(model, at, 12, random)) {
        const content = shown(model.imageAt(at, fate).files.get('f'))
        violations += model.ackedAt(at).filter((id) => !content.includes(id)).length
      }
    }
    return violations
  }

  test('loses none', () => {
    expect(lost(history)).toBe(0)
  })

  test('is caught with any one of its syncs taken out, failed or late', () => {
    for (const [place, event] of history.entries()) {
      if (event.kind !== 'sync') continue
      const { start } = event
      const rest = history.toSpliced(place, 1)
      expect(lost(rest), 'taken out').toBeGreaterThan(0)
      expect(lost(history.with(place, { ...event, ok: false })), 'failed').toBeGreaterThan(0)
      expect(lost(history.with(place, { ...event, end: start + 4 })), 'late').toBeGreaterThan(0)
      const early = { ...event, start: start - 2 }
      expect(lost(history.with(place, early)), 'overlapping the write').toBeGreaterThan(0)
    }
  })

  test('counts an ack from when it was issued', () => {
    const model = new CrashModel(recording([line(3, 'ack a'), line(4, 'seen b'), line(5, 'ack c')]))
    expect([model.ackedAt(3), model.ackedAt(4), model.ackedAt(9)]).toEqual([[], ['a'], ['a', 'c']])
  })

  test('crashes at the same moments with the same fates for the same seed', () => {
    const events = history.filter((event) => event.kind !== 'sync')
    const drawn = (seed: number): string => {
      const [model, random] = [new CrashModel(recording(events)), seeded(seed)]
      const images = crashMoments(model, 10, random).flatMap((at) =>
        fatesAt(model, at, 8, random).map((fate) => {
          return `${at} ${fate.name} ${shown(model.imageAt(at, fate).files.get('f'))}`
        }),
      )
      return images.join('\n')
    }
    expect(drawn(1)).toBe(drawn(1))
    expect(drawn(1)).not.toBe(drawn(2))
  })
})
