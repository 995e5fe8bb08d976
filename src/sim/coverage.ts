/** States that the simulator itself marks. */
export const CRASHED_WITH_WORK = 'a node crashed with unsettled writes'
export const CAUGHT_UP = 'a node caught up from its peers'
export const TRIMMED = 'the shared log was trimmed'
export const BEGAN_ANEW = 'a node began with a snapshot of a peer'
