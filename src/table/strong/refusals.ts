/** Refusals that several operations share. */
import { HoldfastError, type ErrorCode } from '../../core/errors.ts'
import type { Key } from '../../core/key-codec.ts'
import { isAtLeast, type Durability } from '../../shard/durability.ts'

export function unknownTable(table: string): HoldfastError {
  return new HoldfastError('UnknownTable', `there is no table ${table}`, { details: { table } })
}

/** Throws `DurabilityTooLow` where acks mean less than the table demands. */
export function assertAtLeast(table: string, durability: Durability, least: Durability): void {
  if (isAtLeast(durability, least)) return
  const message = `acks mean '${durability}' here; ${table} demands '${least}' at the least`
  throw new HoldfastError('DurabilityTooLow', message, { details: { table, durability, least } })
}

export function notFound(table: string, key: Key): HoldfastError {
  return new HoldfastError('NotFound', `${table} has no row ${showKey(key)}`, {
    details: { table, key },
  })
}

export function alreadyExists(table: string, key: Key): HoldfastError {
  return new HoldfastError('AlreadyExists', `${table} already has a row ${showKey(key)}`, {
    details: { table, key },
  })
}

/** A stateful op was refused where the row is. */
export function opRefused(table: string, key: Key, code: string, field: string): HoldfastError {
  const at = field === '' ? '' : `, field ${field}`
  return code === 'NotFound'
    ? notFound(table, key)
    : new HoldfastError(
        code as ErrorCode,
        `${table}, row ${showKey(key)}${at}: the op does not fit what is there`,
        {
          details: { table, key, field },
        },
      )
}

function showKey(key: Key): string {
  if (typeof key === 'string') return JSON.stringify(key)
  if (typeof key === 'bigint') return `${key}n`
  if (key instanceof Date) return key.toISOString()
  if (key instanceof Uint8Array) return `0x${Buffer.from(key).toString('hex')}`
  if (typeof key === 'number') return String(key)
  return `[${key.map(showKey).join(', ')}]`
}
