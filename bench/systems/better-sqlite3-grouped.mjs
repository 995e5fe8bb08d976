// better-sqlite3 with a group commit made by hand around it: what its API does not do, and what its
// users could do. Measured for writes; all else is as better-sqlite3.mjs has it.

import { openItemsWith } from './better-sqlite3.mjs'

/** @typedef {import('./system.mjs').System} System */

/** @param {string} dir @returns {Promise<System>} */
export const openItems = (dir) => openItemsWith(dir, true)
