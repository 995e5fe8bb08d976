// What HTTP alone costs: bare Hono routes that give the same bytes (http-servers.mjs).

import { httpService } from './http.mjs'

export const service = httpService('hono')
