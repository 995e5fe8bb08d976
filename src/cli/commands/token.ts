/** `holdfast token`: who may use the HTTP API, and for what. */
import { systemEnv } from '../../open.ts'
import type { NewToken, TokenInfo } from '../../server/token-operations.ts'
import type { Scope } from '../../server/scopes.ts'
import { EXIT } from '../exit-codes.ts'
import { withSession } from '../open-session.ts'
import type { Shell } from '../shell.ts'
import { printTable } from '../text-table.ts'

export interface CreateTokenOptions {
  readonly scope: readonly Scope[]
  /** Milliseconds from now. */
  readonly expires?: number | undefined
}

export async function tokenCreateCommand(
  shell: Shell,
  name: string,
  { scope, expires }: CreateTokenOptions,
): Promise<number> {
  const expiresAt = expires === undefined ? undefined : new Date(systemEnv.clock.wallMs() + expires)
  const made = await withSession(
    shell,
    (session) => session.call('tokenCreate', { name, scopes: scope, expiresAt }),
    // A server may be given its tokens before it starts for the first time.
    { create: true },
  )
  return showNew(shell, made)
}

export async function tokenListCommand(shell: Shell): Promise<number> {
  const tokens = await withSession(shell, (session) => session.call('tokenList', {}))
  if (shell.json) for (const token of tokens) await shell.outJson(token)
  else if (tokens.length === 0) {
    shell.say('no tokens; holdfast token create NAME --scope read   makes one')
  } else await printTable(shell, tokens.map(cells))
  return EXIT.ok
}

export async function tokenRotateCommand(
  shell: Shell,
  id: string,
  { grace }: { readonly grace?: number | undefined },
): Promise<number> {
  const rotated = await withSession(shell, (session) =>
    session.call('tokenRotate', { id: idOf(id), graceMs: grace }),
  )
  return showNew(shell, rotated)
}

export async function tokenRevokeCommand(shell: Shell, text: string): Promise<number> {
  const id = idOf(text)
  await withSession(shell, (session) => session.call('tokenRevoke', { id }))
  if (shell.json) await shell.outJson({ id, revoked: true })
  else await shell.out(`revoked ${id}`)
  return EXIT.ok
}

/** The token is data: it alone goes to stdout, so that it can go on into a file or a variable. */
async function showNew(shell: Shell, made: NewToken): Promise<number> {
  if (shell.json) {
    await shell.outJson(made)
    return EXIT.ok
  }
  const { id, name, scopes, expiresAt } = made
  const until = expiresAt === undefined ? 'until it is revoked' : `until ${expiresAt.toISOString()}`
  shell.say(`token ${id} (${name}) may ${scopes.join(', ')}, ${until}. It is shown this once:`)
  await shell.out(made.token)
  return EXIT.ok
}

/** The id, also of who gives the whole token. */
function idOf(text: string): string {
  return /^hf_([A-Za-z0-9]+)(?:_.*)?$/s.exec(text)?.[1] ?? text
}

function cells({ id, name, scopes, createdAt, expiresAt }: TokenInfo): {
  readonly [column: string]: string
} {
  return {
    id,
    name,
    scopes: scopes.join(', '),
    created: createdAt.toISOString(),
    expires: expiresAt?.toISOString() ?? 'never',
  }
}
