// Where NATS is: what is no address is refused by name, and nobody is taken to servers not named.
import { expect, it } from 'vitest'
import { serversOf } from './nats-options.ts'

it('takes addresses in a list, or in a text with commas, with or without the scheme', () => {
  expect(serversOf({ servers: 'nats://a:4222, b ,tls://[::1]:4223' })).toEqual([
    'nats://a:4222',
    'b',
    'tls://[::1]:4223',
  ])
  expect(serversOf({ servers: ['a:4222'] })).toEqual(['a:4222'])
})

it.each([
  [[], /names no NATS server/],
  [undefined, /names no NATS server/],
  ['', /'' in/],
  ['nats://a:4222,', /'' in/],
  [['nats://'], /'nats:\/\/' in/],
  ['nats://a:99999', /a:99999/],
  ['nats://a b', /a b/],
])('refuses %j', (servers, message) => {
  const refused = (): unknown => serversOf({ servers: servers as string })
  expect(refused).toThrow(message)
  expect(refused).toThrow(expect.objectContaining({ code: 'InvalidArgument' }))
})

it('says nothing of a password that stands in an address', () => {
  expect(() => serversOf({ servers: 'nats://user:hu sh@a:4222' })).toThrow(/^(?!.*hu sh).*user/)
})
