/** The tables that the suites of this folder use. */
import { z } from 'zod'
import { strong, unique, unvalidated } from '../../src/index.ts'

export interface Plain {
  k: string
  n: number
  g?: string
  tags?: string[]
  big?: bigint
  at?: Date
}

export interface Full {
  k: string
  n: number
  g?: string
  mail?: string
}

export const tables = {
  plain: strong({ row: unvalidated<Plain>(), key: 'k' }),
  full: strong({
    row: unvalidated<Full>(),
    key: 'k',
    indexes: { byG: 'g', byGN: ['g', 'n'], byMail: unique('mail') },
  }),
  pairs: strong({ row: unvalidated<{ a: string; b: number; v?: string }>(), key: ['a', 'b'] }),
  checked: strong({
    row: z.object({
      id: z.string().trim().min(1),
      age: z.number().int().default(18),
      tags: z.array(z.string()).default([]),
    }),
    key: 'id',
  }),
}
