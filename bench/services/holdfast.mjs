// Holdfast's own HTTP API: dist's `serve` over a folder, in a process of its own (http-worker.mjs).

import { httpService } from './http.mjs'

export const service = httpService('holdfast')
