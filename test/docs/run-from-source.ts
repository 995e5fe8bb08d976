// Programs as a reader would run them, but against the sources: in a process and a folder of their
// own, and type-checked with 'holdfast' standing for src/index.ts.

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import ts from 'typescript'

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

const loaders = ['test/child/typescript.mjs', 'test/docs/from-source.mjs'].flatMap((path) => [
  '--import',
  pathToFileURL(join(root, path)).href,
])

interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a TypeScript program, given as text, in an empty folder. */
export function runText(text: string): Promise<Ran> {
  const { outputText } = ts.transpileModule(text, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 },
  })
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-docs-'))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'junction')
  return new Promise<Ran>((resolve, reject) => {
    const child = spawn(process.execPath, [...loaders, '--input-type=module', '-'], {
      cwd: folder,
      timeout: 90_000,
    })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, stdout, stderr }))
    child.stdin.end(outputText)
  }).finally(() => rmSync(folder, { recursive: true, force: true }))
}

/** What the compiler says about programs, by path; they lie in the checkout, on disk or not. */
export function typeFaults(programs: Readonly<Record<string, string>>): string[] {
  const config = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile.bind(ts.sys))
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, root)
  const checked: ts.CompilerOptions = {
    ...options,
    paths: {
      holdfast: [join(root, 'src/index.ts')],
      'holdfast/client': [join(root, 'src/client.ts')],
      'holdfast/server': [join(root, 'src/server.ts')],
      'holdfast/testing': [join(root, 'src/testing.ts')],
    },
    noUnusedLocals: false,
    moduleDetection: ts.ModuleDetectionKind.Force,
  }
  const texts = new Map(Object.entries(programs).map(([path, text]) => [join(root, path), text]))
  const host = ts.createCompilerHost(checked)
  host.readFile = (path) => texts.get(path) ?? ts.sys.readFile(path)
  host.fileExists = (path) => texts.has(path) || ts.sys.fileExists(path)
  const program = ts.createProgram([...texts.keys()], checked, host)
  return [...texts.keys()].flatMap((path) => {
    const file = program.getSourceFile(path)
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map(
      (fault) => {
        const line = fault.file?.getLineAndCharacterOfPosition(fault.start ?? 0).line ?? 0
        return `${path}:${line + 1} ${ts.flattenDiagnosticMessageText(fault.messageText, ' ')}`
      },
    )
  })
}
