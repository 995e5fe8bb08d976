/**
 * How far an ack goes. Embedded: `fsynced` in this folder, or `memory` for a database in memory. On a
 * cluster: `quorum-fsynced` by a quorum of the servers that keep the log, or kept by a `quorum` of
 * them, which may not be on their disks yet.
 */
export type Durability = 'memory' | 'fsynced' | 'quorum' | 'quorum-fsynced'

/**
 * What satisfies a demand. One folder's disk and several servers' memory survive different things:
 * neither stands for the other.
 */
const SATISFY: Readonly<Record<Durability, readonly Durability[]>> = {
  memory: ['memory', 'fsynced', 'quorum', 'quorum-fsynced'],
  fsynced: ['fsynced', 'quorum-fsynced'],
  quorum: ['quorum', 'quorum-fsynced'],
  'quorum-fsynced': ['quorum-fsynced'],
}

export const DURABILITIES = Object.keys(SATISFY) as readonly Durability[]

export function isAtLeast(durability: Durability, least: Durability): boolean {
  return SATISFY[least].includes(durability)
}
