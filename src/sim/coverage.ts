/** States that the simulator itself marks. */
export const CRASHED_WITH_WORK = 'a node crashed with unsettled writes'
