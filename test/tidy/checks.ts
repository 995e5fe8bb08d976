// The house rules that no other tool can say, as functions over text: test/tidy.test.ts runs them
// over the checkout, and over planted faults.

import ts from 'typescript'

/** One broken rule; printed as `path:line what`. */
export type Finding = { path: string; line: number; what: string }

/** A file of the checkout, by its path from the root. */
export type SourceFile = { path: string; text: string }

const fileLinesMax = 600
const functionLinesMax = 70

const kebabFile = /^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)*$/
const emptyWords = ['utils', 'util', 'helpers', 'helper', 'manager', 'managers']
// Written apart, so that this file does not find itself.
const leftoverWords = ['FIX' + 'ME', 'TO' + 'DO', 'XX' + 'X']

/** Globals that reach the same things as the names the linter bans. */
const globalObjects = new Set(['globalThis', 'global'])
const ambientGlobals = new Set([
  'Date',
  'Math',
  'crypto',
  'performance',
  'process',
  'setImmediate',
  'setInterval',
  'setTimeout',
])
/** Members of `Date` that convert and compare, and read no clock. */
const pureDateMembers = new Set(['parse', 'UTC', 'prototype', 'name'])
/** Built-in modules that do no I/O; an `import()` of any other escapes the linter. */
const pureModules = new Set(['node:path', 'node:url', 'node:util', 'node:buffer', 'node:zlib'])

/** kebab-case, and a name that says what is inside. */
export function nameFaults(path: string): Finding[] {
  const name = path.slice(path.lastIndexOf('/') + 1)
  const found: Finding[] = []
  if (!kebabFile.test(name)) found.push({ path, line: 1, what: 'file names are kebab-case' })
  const words = name.split(/[-.]/)
  for (const word of words.filter((each) => emptyWords.includes(each))) {
    found.push({ path, line: 1, what: `"${word}" says nothing: name the file after its export` })
  }
  return found
}

/** Files too long to be one idea. `allowed` names a path and why it may be longer. */
export function longFile({ path, text }: SourceFile, allowed: Record<string, string>): Finding[] {
  const lines = text.trimEnd().split('\n').length
  if (lines <= fileLinesMax || path in allowed) return []
  return [{ path, line: lines, what: `${lines} lines, at most ${fileLinesMax}: split it by idea` }]
}

/** Functions too long to read at once. `allowed` names `path#function` and why. */
export function longFunctions(file: SourceFile, allowed: Record<string, string>): Finding[] {
  const source = parse(file)
  const found: Finding[] = []
  visit(source, (node) => {
    if (!ts.isFunctionLike(node) || !('body' in node) || node.body === undefined) return
    const first = lineOf(source, node.getStart(source))
    const lines = lineOf(source, node.end) - first + 1
    const name = functionName(node)
    if (lines <= functionLinesMax || `${file.path}#${name}` in allowed) return
    const what = `${name} has ${lines} lines, at most ${functionLinesMax}: name its parts`
    found.push({ path: file.path, line: first, what })
  })
  return found
}

/** Notes to oneself: the thing is done, or it is an issue. */
export function leftovers({ path, text }: SourceFile): Finding[] {
  const pattern = new RegExp(`\\b(${leftoverWords.join('|')})\\b`)
  return text.split('\n').flatMap((line, index) => {
    const word = pattern.exec(line)?.[0]
    return word === undefined ? [] : [{ path, line: index + 1, what: `${word} left: do it now` }]
  })
}

/**
 * Ambient time, randomness and I/O that the linter's name lists cannot express: `new Date()` (but
 * not `new Date(ms)`), `Date` or `Math` under another name, `globalThis.x`, `import('node:fs')`.
 */
export function ambientUses(file: SourceFile): Finding[] {
  const source = parse(file)
  const found: Finding[] = []
  const add = (node: ts.Node, what: string) => {
    found.push({ path: file.path, line: lineOf(source, node.getStart(source)), what })
  }
  visit(source, (node) => {
    const use = ambientUse(node)
    if (use !== undefined) add(node, use)
  })
  return found
}

function ambientUse(node: ts.Node): string | undefined {
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
    const name = node.arguments[0]
    if (name === undefined || !ts.isStringLiteralLike(name)) return undefined
    if (!name.text.startsWith('node:') || pureModules.has(name.text)) return undefined
    return `import('${name.text}'): I/O belongs to an adapter, behind its port`
  }
  if (!ts.isIdentifier(node) || !isValueUse(node)) return undefined
  if (node.text === 'Date') return dateUse(node)
  if (node.text === 'Math') return mathUse(node)
  if (globalObjects.has(node.text)) return globalUse(node)
  return undefined
}

const useClock = 'use the clock of Env (src/core/env.ts): a simulated node has its own time'
const useRandom = 'use the random of Env (src/core/env.ts): a run must repeat from its seed'

function dateUse(node: ts.Identifier): string | undefined {
  const { parent } = node
  if (ts.isNewExpression(parent) && parent.expression === node) {
    return (parent.arguments ?? []).length > 0 ? undefined : `new Date(): ${useClock}`
  }
  if (ts.isCallExpression(parent) && parent.expression === node) return `Date(): ${useClock}`
  if (ts.isBinaryExpression(parent) && parent.right === node) {
    if (parent.operatorToken.kind === ts.SyntaxKind.InstanceOfKeyword) return undefined
  }
  const member = memberOf(node)
  if (member === undefined) return `Date as a value: ${useClock}`
  return pureDateMembers.has(member) ? undefined : `Date.${member}: ${useClock}`
}

function mathUse(node: ts.Identifier): string | undefined {
  const member = memberOf(node)
  if (member === undefined) return `Math as a value: ${useRandom}`
  return member === 'random' ? `Math.random: ${useRandom}` : undefined
}

function globalUse(node: ts.Identifier): string | undefined {
  const member = memberOf(node)
  if (member === undefined) return `${node.text} as a value: name what you use of it`
  return ambientGlobals.has(member)
    ? `${node.text}.${member}: use Env (src/core/env.ts)`
    : undefined
}

/** `now` for the `Date` of `Date.now` and `Date['now']`; undefined when it cannot be known. */
function memberOf(node: ts.Identifier): string | undefined {
  const { parent } = node
  if (ts.isPropertyAccessExpression(parent) && parent.expression === node) return parent.name.text
  if (ts.isElementAccessExpression(parent) && parent.expression === node) {
    const index = parent.argumentExpression
    return ts.isStringLiteralLike(index) ? index.text : undefined
  }
  return undefined
}

/** Whether the identifier is read as a value: not a type, a declaration or somebody's member. */
function isValueUse(node: ts.Identifier): boolean {
  const { parent } = node
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node
  if (ts.isPropertyAssignment(parent)) return parent.initializer === node
  if (ts.isVariableDeclaration(parent) || ts.isParameter(parent)) return parent.initializer === node
  if (ts.isBindingElement(parent)) return parent.initializer === node
  if (ts.isTypeNode(parent) && !ts.isExpressionWithTypeArguments(parent)) return false
  if (ts.isTypeQueryNode(parent) || ts.isQualifiedName(parent)) return false
  if (ts.isImportSpecifier(parent) || ts.isImportClause(parent)) return false
  const named = parent as { name?: ts.Node }
  return named.name !== node
}

/** `### Code` headings of the page of errors, each with the text below it. */
function errorSections(markdown: string): Map<string, string> {
  const sections = new Map<string, string>()
  for (const part of markdown.split(/^### /m).slice(1)) {
    const [heading = '', ...rest] = part.split('\n')
    const body = rest.join('\n').split(/^#{1,2} /m)[0] ?? ''
    sections.set(heading.replaceAll('`', '').trim(), body)
  }
  return sections
}

/** Where the table of errors and their page disagree. */
export function errorPageFaults(
  errors: Readonly<Record<string, { readonly kind: string }>>,
  markdown: string,
): string[] {
  const sections = errorSections(markdown)
  const found: string[] = []
  for (const [code, { kind }] of Object.entries(errors)) {
    const section = sections.get(code)
    if (section === undefined) found.push(`${code}: no heading "### ${code}"`)
    else if (!section.includes(kind))
      found.push(`${code}: its section does not name its kind, ${kind}`)
  }
  for (const code of sections.keys()) {
    if (!(code in errors)) found.push(`${code}: a heading, but no such error`)
  }
  return found
}

/** Decision records: `NNNN-kebab-name.md`, numbered from 1 without gaps or twins. */
export function recordFaults(names: readonly string[]): string[] {
  const found: string[] = []
  for (const [index, name] of names.toSorted().entries()) {
    const number = String(index + 1).padStart(4, '0')
    if (!/^\d{4}-[a-z0-9]+(-[a-z0-9]+)*\.md$/.test(name)) found.push(`${name}: not NNNN-name.md`)
    else if (!name.startsWith(number)) found.push(`${name}: expected number ${number}`)
  }
  return found
}

function parse({ path, text }: SourceFile): ts.SourceFile {
  return ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
}

function visit(node: ts.Node, see: (node: ts.Node) => void): void {
  see(node)
  node.forEachChild((child) => visit(child, see))
}

function lineOf(source: ts.SourceFile, position: number): number {
  return source.getLineAndCharacterOfPosition(position).line + 1
}

function functionName(node: ts.SignatureDeclaration): string {
  if (ts.isConstructorDeclaration(node)) return 'constructor'
  const name = node.name ?? (ts.isVariableDeclaration(node.parent) ? node.parent.name : undefined)
  return name === undefined ? 'a function' : name.getText()
}
