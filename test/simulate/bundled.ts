// A program of the project as one file, which starts faster: `holdfast simulate` from the sources,
// dist/ or not, in processes of its own.

import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  /** Another Node. Default: the one that runs the tests. */
  readonly node?: string
  /** Sends SIGINT, as Ctrl-C does, after so many milliseconds. */
  readonly interruptAfterMs?: number
}

/** The program; remove the folder at the end. */
export class Bundled implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'holdfast-simulate-'))
  readonly main = join(this.folder, 'dist', 'sim', 'main.js')

  /** `entry`: another file to start than the command. */
  async build(entry: string = join(root, 'src', 'sim', 'main.ts')): Promise<void> {
    mkdirSync(dirname(this.main), { recursive: true })
    writeFileSync(join(this.folder, 'package.json'), '{"type":"module"}')
    symlinkSync(join(root, 'node_modules'), join(this.folder, 'node_modules'), 'junction')
    await build({
      entryPoints: [entry],
      outfile: this.main,
      bundle: true,
      packages: 'external',
      // CommonJS that a module imports takes a start a third of its time.
      alias: { 'sorted-btree': join(root, 'node_modules', 'sorted-btree', 'b+tree.js') },
      platform: 'node',
      format: 'esm',
      sourcemap: true,
    })
  }

  run(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
    const child = spawn(options.node ?? process.execPath, [this.main, ...args], {
      cwd: this.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 110_000,
      killSignal: 'SIGKILL',
    })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (bytes: Buffer) => (stdout += bytes.toString()))
    child.stderr.on('data', (bytes: Buffer) => (stderr += bytes.toString()))
    const { interruptAfterMs } = options
    const timer =
      interruptAfterMs === undefined
        ? undefined
        : setTimeout(() => child.kill('SIGINT'), interruptAfterMs)
    return new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code, signal) => {
        clearTimeout(timer)
        resolve({ code, signal, stdout, stderr })
      })
    })
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 })
  }
}
