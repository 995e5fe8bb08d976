/**
 * The zoo (D6): planted bugs, each a patch on the shipped source, none of them a switch in it. Each is
 * applied to a copy of src/, and the clean campaign's own generator and checkers run on that copy,
 * in a process of its own, until a property is violated or the budget of seeds is spent.
 *
 * A patch says what it plants in lines before its diff:
 *
 *   Bug: a commit is acked before it is flushed
 *   Rule: S14
 *   Property: ^(linearizability|exactly-once:lost)
 *
 * `Property` is a regular expression: a run that fails in another way, by an accident that the patch
 * had not in mind, has not found the bug.
 */
/* oxlint-disable eslint/no-restricted-imports -- a tool around the simulator, not a part of a run */
import { spawn, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { build } from 'esbuild'

/** A planted bug. */
interface Patch {
  readonly file: string
  readonly bug: string
  readonly rule: string
  readonly expected: RegExp
}

export interface ZooVerdict {
  /** The name of the patch's file. */
  readonly name: string
  readonly bug: string
  readonly rule: string
  /** What was violated first; undefined when nothing was. */
  readonly property: string | undefined
  /** Seeds that it took, null when the bug was not found. */
  readonly foundAfterSeeds: number | null
  readonly budget: number
  /** Why it was not found. */
  readonly problem: string | undefined
}

export interface ZooOptions {
  /** The folder of the source checkout: src/, node_modules/ and test/zoo/ lie there. */
  readonly root: string
  /** Patch files. Default: all of test/zoo. */
  readonly patches?: readonly string[] | undefined
  /** Seeds for each. Default 200. */
  readonly budget?: number | undefined
  /** More options of the campaign, as its command line has them. */
  readonly campaign?: readonly string[] | undefined
  /** Whose Node and environment the campaigns run with. */
  readonly process: Pick<NodeJS.Process, 'execPath' | 'env'>
  /** Told each verdict as soon as it is there. */
  readonly onVerdict?: ((verdict: ZooVerdict) => void) | undefined
}

export const ZOO_BUDGET = 200
/** Campaigns at a time. */
const AT_ONCE = 2
/** What is shown of a campaign that died. */
const SHOWN_BYTES = 2_000

/** Something is wrong with the zoo itself, or with how it was asked for. */
export class ZooError extends Error {}

/** Runs the campaign on every patch; verdicts in the order of the patches. Throws `ZooError`. */
export async function runZoo(options: ZooOptions): Promise<ZooVerdict[]> {
  const { root, budget = ZOO_BUDGET, onVerdict } = options
  if (!existsSync(join(root, 'src', 'sim', 'main.ts'))) {
    throw new ZooError(`the zoo plants bugs in the source: ${root} is no source checkout`)
  }
  const patches = (options.patches ?? patchFiles(root)).map(readPatch)
  const verdicts: ZooVerdict[] = []
  let next = 0
  const work = async (): Promise<void> => {
    for (let i = next++; i < patches.length; i = next++) {
      const verdict = await judge(patches[i] as Patch, { ...options, budget })
      verdicts[i] = verdict
      onVerdict?.(verdict)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  return verdicts
}

/** The patches of the zoo, by name. */
export function patchFiles(root: string): string[] {
  const folder = join(root, 'test', 'zoo')
  const names = readdirSync(folder).filter((name) => name.endsWith('.patch'))
  return names.toSorted().map((name) => join(folder, name))
}

function readPatch(file: string): Patch {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new ZooError(`${file} cannot be read: ${(cause as Error).message}`)
  }
  const head = text.slice(0, Math.max(0, text.search(/^(diff|---) /m)))
  const field = (name: string): string => {
    const found = new RegExp(`^${name}: *(\\S.*)$`, 'm').exec(head)?.[1]
    if (found === undefined)
      throw new ZooError(`${file} has no line "${name}: ..." before its diff`)
    return found
  }
  const [bug, rule, property] = [field('Bug'), field('Rule'), field('Property')]
  try {
    return { file: resolve(file), bug, rule, expected: new RegExp(property) }
  } catch (cause) {
    throw new ZooError(`${file}: ${(cause as Error).message}`)
  }
}

type Judged = Omit<ZooVerdict, 'name' | 'bug' | 'rule' | 'budget'>

async function judge(
  patch: Patch,
  options: ZooOptions & { readonly budget: number },
): Promise<ZooVerdict> {
  const { bug, rule, file } = patch
  const { budget } = options
  const folder = plant(file, options)
  try {
    const judged =
      typeof folder === 'string' ? await campaign(folder, patch, options) : missed(folder.problem)
    return { name: basename(file, '.patch'), bug, rule, budget, ...judged }
  } finally {
    if (typeof folder === 'string') rmSync(folder, { recursive: true, force: true })
  }
}

function missed(problem: string, property?: string): Judged {
  return { property, foundAfterSeeds: null, problem }
}

/** Makes a copy of the source with the bug in it. Returns its folder. */
export function plant(
  file: string,
  { root, process }: Pick<ZooOptions, 'root' | 'process'>,
): string | { readonly problem: string } {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-zoo-'))
  const isShipped = (path: string): boolean => !/\.(test|contract)\.ts$/.test(path)
  cpSync(join(root, 'src'), join(folder, 'src'), { recursive: true, filter: isShipped })
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'dir')
  const git = spawnSync('git', ['apply', file], {
    cwd: folder,
    encoding: 'utf8',
    // In a repository it would leave out files that this one does not have.
    env: { ...process.env, GIT_CEILING_DIRECTORIES: dirname(folder) },
  })
  if (git.status === 0) return folder
  rmSync(folder, { recursive: true, force: true })
  const why = git.error?.message ?? git.stderr.trim()
  return { problem: `the patch does not apply: ${why}` }
}

/** Runs the campaign of a planted copy up to its first violation. */
async function campaign(
  folder: string,
  { expected }: Patch,
  { budget, process, campaign: more = [] }: ZooOptions & { readonly budget: number },
): Promise<Judged> {
  const outfile = join(folder, 'simulate.mjs')
  try {
    await build({
      entryPoints: [join(folder, 'src', 'sim', 'main.ts')],
      outfile,
      bundle: true,
      packages: 'external',
      platform: 'node',
      format: 'esm',
      logLevel: 'silent',
    })
  } catch (cause) {
    return missed(`the patched source cannot be built: ${(cause as Error).message}`)
  }
  const args = [outfile, '--json', '--until-violation', '--seeds', String(budget), ...more]
  const { stdout, stderr } = await output(process, args, folder)
  let report: Report
  try {
    report = JSON.parse(stdout) as Report
  } catch {
    return missed(`the campaign died: ${stderr.slice(-SHOWN_BYTES)}`)
  }
  const [first] = report.violations
  if (first === undefined) return missed(`nothing was violated in ${report.seeds} seeds`)
  const { property } = first
  if (expected.test(property)) {
    return { property, foundAfterSeeds: report.seeds, problem: undefined }
  }
  const [line] = first.message.split('\n')
  const problem = `seed ${first.seed} violated ${property}, where ${expected.source} was expected: ${line}`
  return missed(problem, property)
}

/** What is needed of what `simulate --json` says. */
interface Report {
  readonly seeds: number
  readonly violations: readonly {
    readonly seed: number
    readonly property: string
    readonly message: string
  }[]
}

function output(
  { execPath, env }: ZooOptions['process'],
  args: readonly string[],
  cwd: string,
): Promise<{ stdout: string; stderr: string }> {
  return new Promise((done, fail) => {
    const child = spawn(execPath, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
    const out: Buffer[] = []
    const err: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk))
    child.on('error', fail)
    child.on('close', () => {
      done({ stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() })
    })
  })
}
