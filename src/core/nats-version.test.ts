import { expect, it } from 'vitest'
import { natsVersionFault } from './nats-version.ts'

it.each(['2.10.23', '2.10.27', '2.11.0', '2.11.0-preview.2', '2.15.1', '3.0.0', '10.0.0'])(
  'version %s will do',
  (version) => {
    expect(natsVersionFault(version)).toBeUndefined()
  },
)

it.each(['2.10.22', '2.9.10', '2.2.99', '1.99.99', '2.10', '', 'unknown', '2.10.x'])(
  "version '%s' will not",
  (version) => {
    expect(natsVersionFault(version)).toBe(`is of version ${version}, below 2.10.23`)
  },
)
