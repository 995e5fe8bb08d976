// Serves a folder until SIGTERM, then drains, closes and ends by itself:
//   node --import ./test/child/typescript.mjs test/child/serve-until-term.ts DIR
import { open, strong } from '../../src/index.ts'
import { serve } from '../../src/server.ts'

const dir = process.argv[2]
if (dir === undefined) throw new Error('give the folder')
const db = await open({ dir, tables: { items: strong<{ id: string }>({ key: 'id' }) } })
const server = await serve(db, { port: 0 })
process.once('SIGTERM', () => {
  void server.close().then(() => db.close())
})
console.log(server.url)
