/** Short names of texts: ETags of rows, digests of outcomes. */
import { hash } from 'node:crypto'

/** Characters of a digest: 132 bits of a SHA-256. */
const DIGEST_CHARS = 22

/** The same text, the same digest. */
export function textDigest(text: string): string {
  return hash('sha256', text, 'base64url').slice(0, DIGEST_CHARS)
}

/** The strong ETag of a representation: the same text, the same tag (RFC 9110, 8.8.3). */
export function etagOf(text: string): string {
  return `"${textDigest(text)}"`
}
