import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { onAbort } from './on-abort.ts'

test('thousands wait for one signal by one listener, which goes with the last of them', () => {
  const { signal } = new AbortController()
  const leave = Array.from({ length: 5_000 }, () => onAbort(signal, () => expect.unreachable()))
  expect(getEventListeners(signal, 'abort')).toHaveLength(1)
  for (const each of leave) each()
  expect(getEventListeners(signal, 'abort')).toHaveLength(0)
  // Left twice, and waited for anew in between, nobody else is forgotten.
  let told = 0
  onAbort(signal, () => told++)
  leave[0]?.()
  expect(getEventListeners(signal, 'abort')).toHaveLength(1)
  expect(told).toBe(0)
})

test('all who wait are told once, but those who left', () => {
  const stop = new AbortController()
  const told: number[] = []
  const leave = [0, 1, 2].map((n) => onAbort(stop.signal, () => told.push(n)))
  leave[1]?.()
  stop.abort()
  stop.abort()
  leave[2]?.()
  expect(told).toEqual([0, 2])
  expect(getEventListeners(stop.signal, 'abort')).toHaveLength(0)
})
