/** Refuses faults that do not exist, before they are half done. */
import { HoldfastError } from '../core/errors.ts'
import { FAULT_KINDS, kindsOf, type Fault, type FaultKind, type Setup } from './fault-plan.ts'
import type { Partition } from './partition.ts'

/** @throws HoldfastError `InvalidArgument` when `kind` is none, or none of `setup` */
export function checkKind(kind: string, setup: Setup): void {
  if (kindsOf('hostile', setup).includes(kind as FaultKind)) return
  const known = kindsOf('hostile', setup).join(', ')
  const what = FAULT_KINDS.includes(kind as FaultKind) ? `not for the setup '${setup}'` : 'unknown'
  throw new HoldfastError('InvalidArgument', `the fault '${kind}' is ${what}; there are ${known}`)
}

/** @throws HoldfastError `InvalidArgument` for a fault that cannot happen in this run */
export function checkFault(
  { kind, node, forMs }: Omit<Fault, 'atMs'>,
  { setup, nodes }: { readonly setup: Setup; readonly nodes: number },
): void {
  checkKind(kind, setup)
  if (node !== undefined && !(Number.isInteger(node) && node >= 0 && node < nodes)) {
    throw new HoldfastError('InvalidArgument', `node is a number from 0 to ${nodes - 1}`)
  }
  if (forMs !== undefined && !(forMs >= 0)) {
    throw new HoldfastError('InvalidArgument', 'forMs is a number of virtual milliseconds')
  }
}

/** @throws HoldfastError `InvalidArgument` for a partition of machines that are not in this run */
export function checkPartition(shape: Partition, machines: readonly string[]): void {
  const { kind: _kind, ...named } = shape
  const names = Object.values(named)
    .flat()
    .filter((name) => typeof name === 'string')
  const unknown = names.find((name) => !machines.includes(name))
  if (unknown === undefined) return
  const message = `there is no machine ${unknown}; there are ${machines.join(', ')}`
  throw new HoldfastError('InvalidArgument', message)
}
