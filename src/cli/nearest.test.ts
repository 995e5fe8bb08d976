// Which name was probably meant: slips of the finger, and nothing far-fetched.

import { expect, it } from 'vitest'
import { nearest } from './nearest.ts'

const tables = ['accounts', 'airports', 'flights', 'a']

it.each([
  ['acounts', 'accounts'],
  ['accuonts', 'accounts'],
  ['Accounts', 'accounts'],
  ['airport', 'airports'],
  ['fligths', 'flights'],
  ['b', 'a'],
])('takes %s for %s', (typed, meant) => {
  expect(nearest(typed, tables)).toBe(meant)
})

it('guesses nothing far-fetched', () => {
  expect(nearest('orders', tables)).toBeUndefined()
  expect(nearest('orders', [])).toBeUndefined()
  expect(nearest('xyz', ['abc'])).toBeUndefined()
})
