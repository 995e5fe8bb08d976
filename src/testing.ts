/** `holdfast/testing`: the simulator for users' own code, and the checkers by themselves. */
export { simulate, type SimulateReport } from './sim/simulate.ts'
export type { SimulateOptions } from './sim/simulate-options.ts'
export { SimulationFailed } from './sim/simulation-failed.ts'
export type { ApiOf, App, AppHandler, AppNode, AppParts } from './sim/app/app.ts'
export type { HostHandler } from './sim/app/virtual-fetch.ts'
export type { Fault, FaultChoice, FaultKind, Setup } from './sim/fault-plan.ts'
export type { Partition } from './sim/partition.ts'
export type { Plan } from './sim/plan.ts'
export type { Outcome } from './sim/outcome.ts'
export type { OperationOptions, SimClient } from './sim/sim-client.ts'
export type { SimNode } from './sim/sim-node.ts'
export type { EventuallyOptions, Simulation } from './sim/simulation.ts'
export type { SimulatedNode } from './sim/world.ts'
export type { Draw } from './sim/draw.ts'
export { checkBank } from './sim/check/bank.ts'
export { checkConvergence, checkFold, checkResurrection } from './sim/check/convergence.ts'
export { checkEffects } from './sim/check/effects.ts'
export { checkFeed } from './sim/check/feeds.ts'
export { History, type Operation } from './sim/check/history.ts'
export { checkLinearizable } from './sim/check/linearizability.ts'
export {
  casRegister,
  counter,
  register,
  type CounterInput,
  type Model,
} from './sim/check/models.ts'
export type { CasInput, RegisterInput } from './sim/check/zones.ts'
export { checkSerializable } from './sim/check/serializability.ts'
export { checkSessions } from './sim/check/sessions.ts'
export { checkUnique } from './sim/check/unique.ts'
export type { Verdict } from './sim/check/verdict.ts'
