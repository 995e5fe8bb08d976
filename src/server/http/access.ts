/** Who may use the API at all: decided once, when a server or a handler is made. */
import { HoldfastError } from '../../core/errors.ts'

/**
 * - `loopback`: whoever reaches this machine's own address; Host and Origin are checked, since web
 *   pages reach it too
 * - `tokens`: who sends a token that has the scope
 * - `trusted`: everybody who can call it. For handlers behind something that checks by itself.
 */
export type Access = 'loopback' | 'tokens' | 'trusted'

const ACCESS: readonly unknown[] = ['loopback', 'tokens', 'trusted']

export interface AccessOptions {
  /**
   * Who may use it. Default for `serve` on a loopback address: `loopback`. Default for everything
   * else: `tokens`.
   */
  readonly access?: Access | undefined
  /**
   * Further values of the Host header that are answered, with a port (`db.internal:4653`) or for
   * every port (`db.internal`). Default: with `loopback` this machine's own names, else all.
   */
  readonly allowedHosts?: readonly string[] | undefined
  /**
   * Origins whose web pages may use it, such as `https://app.example.com`; `*` for all of them, with
   * `tokens` alone. Default: the server's own.
   */
  readonly allowedOrigins?: readonly string[] | undefined
}

/** Throws `InvalidArgument` for options that are none, or that contradict each other. */
export function checkAccess(options: AccessOptions, access: Access): void {
  if (!ACCESS.includes(access)) {
    throw refused("access is 'loopback', 'tokens' or 'trusted'")
  }
  for (const origin of options.allowedOrigins ?? []) {
    if (origin === '*') {
      if (access === 'tokens') continue
      throw refused(
        "allowedOrigins has '*', which lets every web page in: it needs access: 'tokens'",
      )
    }
    if (originOf(origin) !== origin) {
      throw refused(
        `allowedOrigins are like https://app.example.com, without a path, not ${origin}`,
      )
    }
  }
}

/** The origin as browsers write it; undefined for what is none. */
export function originOf(text: string): string | undefined {
  if (!URL.canParse(text)) return undefined
  const { protocol, host } = new URL(text)
  return `${protocol}//${host}`
}

/** Whether nobody but this machine reaches `host`, an address or `localhost`. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host)
}

function refused(message: string): HoldfastError {
  return new HoldfastError('InvalidArgument', message)
}
