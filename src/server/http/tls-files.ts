/**
 * A certificate and its key in files. They are read again and again, so that a renewed pair is used
 * without a restart; a pair that is broken, or half written, is told, and the old one goes on.
 */
import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import type { Cancel, Env } from '../../core/env.ts'
import { HoldfastError } from '../../core/errors.ts'

/** How often the files are looked at unless told otherwise. */
const CHECK_MS = 10_000

export interface TlsOptions {
  /** The certificate, and those between it and the root, as PEM. */
  readonly certFile: string
  /** Its private key, as PEM. */
  readonly keyFile: string
  /** Milliseconds between looks at the files. Default 10,000. */
  readonly checkMs?: number | undefined
}

export interface TlsPair {
  readonly cert: string
  readonly key: string
}

/** Throws `InvalidArgument` for files that cannot be read, or that are no pair. */
export async function readTlsPair({ certFile, keyFile }: TlsOptions): Promise<TlsPair> {
  try {
    const [cert, key] = await Promise.all([readFile(certFile, 'utf8'), readFile(keyFile, 'utf8')])
    // OpenSSL is not even asked about what is empty, as a file is while it is written anew.
    if (cert === '') throw new Error('the certificate is empty')
    if (key === '') throw new Error('the key is empty')
    createSecureContext({ cert, key })
    return { cert, key }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new HoldfastError(
      'InvalidArgument',
      `no certificate and key in ${certFile} and ${keyFile}: ${reason}`,
      { cause },
    )
  }
}

/** Hands each new pair to `use`, and why there is none, once, to `onProblem`. Returns what ends it. */
export function followTlsFiles(
  env: Env,
  options: TlsOptions,
  first: TlsPair,
  use: (pair: TlsPair) => void,
  onProblem: (problem: HoldfastError) => void,
): Cancel {
  let used = first
  let told: string | undefined
  let isOver = false
  let cancel: Cancel = () => undefined
  const look = async (): Promise<void> => {
    try {
      const pair = await readTlsPair(options)
      told = undefined
      if (isOver || (pair.cert === used.cert && pair.key === used.key)) return
      used = pair
      use(pair)
    } catch (error) {
      const problem = error as HoldfastError
      if (isOver || told === problem.message) return
      told = problem.message
      onProblem(problem)
    }
  }
  const again = (): void => {
    cancel = env.timers.after(
      options.checkMs ?? CHECK_MS,
      () => {
        void look().then(() => {
          if (!isOver) again()
        })
      },
      'background',
    )
  }
  again()
  return () => {
    isOver = true
    cancel()
  }
}
