import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'

/** Ports of 127.0.0.1 that are free as long as nobody else takes them; those of one call differ. */
export async function freePorts(count: number): Promise<number[]> {
  const open = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    }),
  )
  const ports = open.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(
    open.map(async (server) => {
      server.close()
      await once(server, 'close')
    }),
  )
  return ports
}
