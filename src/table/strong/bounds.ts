/** Queries as ranges of encoded bytes: of the key, or of an index's value. */
import { afterPrefix, concatBytes, type Bytes } from '../../core/bytes.ts'
import { HoldfastError } from '../../core/errors.ts'
import { encodeKey, encodeStringPrefix, encodeTuplePrefix, type Key } from '../../core/key-codec.ts'
import { LIMITS } from '../../core/limits.ts'

/** Bounds as users give them, types aside. */
export interface LooseBounds {
  readonly eq?: Key | undefined
  readonly gt?: Key | undefined
  readonly gte?: Key | undefined
  readonly lt?: Key | undefined
  readonly lte?: Key | undefined
  readonly prefix?: Key | undefined
}

/** gte <= bytes < lt; a missing side is open. */
export interface ByteRange {
  readonly gte: Bytes | undefined
  readonly lt: Bytes | undefined
}

const NAMES = ['eq', 'gt', 'gte', 'lt', 'lte', 'prefix'] as const

/**
 * The range of encoded values. `followed` says whether something may come behind a value in the
 * store's key, as the row's key does in an index. Throws `InvalidArgument` for contradicting bounds.
 */
export function byteRange(bounds: LooseBounds): ByteRange {
  const given = NAMES.filter((name) => bounds[name] !== undefined)
  const { eq, gt, gte, lt, lte, prefix } = bounds
  if (eq !== undefined || prefix !== undefined) {
    if (given.length > 1) {
      throw new HoldfastError(
        'InvalidArgument',
        `a query has ${given.join(' and ')}: give one of them`,
      )
    }
    const start = eq !== undefined ? encodeKey(eq, LIMITS.storeKeyBytes) : prefixBytes(prefix)
    return { gte: start, lt: afterPrefix(start) }
  }
  if ((gt !== undefined && gte !== undefined) || (lt !== undefined && lte !== undefined)) {
    throw new HoldfastError(
      'InvalidArgument',
      `a query has ${given.join(' and ')}: one bound a side`,
    )
  }
  return {
    gte: gte !== undefined ? encode(gte) : gt !== undefined ? afterPrefix(encode(gt)) : undefined,
    lt: lt !== undefined ? encode(lt) : lte !== undefined ? afterPrefix(encode(lte)) : undefined,
  }
}

/** The same range behind `head`, which every key of the space begins with. */
export function behind(head: Bytes, range: ByteRange): { gte: Bytes; lt: Bytes | undefined } {
  return {
    gte: range.gte === undefined ? head : concatBytes(head, range.gte),
    lt: range.lt === undefined ? afterPrefix(head) : concatBytes(head, range.lt),
  }
}

function encode(key: Key): Bytes {
  return encodeKey(key, LIMITS.storeKeyBytes)
}

function prefixBytes(prefix: Key | undefined): Bytes {
  if (typeof prefix === 'string') return encodeStringPrefix(prefix)
  if (Array.isArray(prefix)) return encodeTuplePrefix(prefix as readonly Key[])
  throw new HoldfastError(
    'InvalidArgument',
    'a prefix is a string, or the leading parts of a tuple',
  )
}
