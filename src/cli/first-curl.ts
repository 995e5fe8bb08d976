/** The first thing to try over HTTP: a line for a shell that works as it is printed. */
import type { HttpServer } from '../server.ts'

const JSON_HEADER = "-H 'content-type: application/json'"
const AIRPORT = '{"iata":"HLD","name":"Holdfast Field","city":"Here","state":"CA","country":"USA"}'
const NOTE = '{"id":1,"text":"the first row"}'

/** For the sample's tables, for a database without tables, and for one with the user's own. */
export function firstCurl(
  { url, access }: HttpServer,
  tables: readonly string[],
): { readonly what: string; readonly line: string } {
  const flags = [
    ...(access === 'tokens' ? ['-H "authorization: Bearer $HOLDFAST_TOKEN"'] : []),
    ...(url.startsWith('https:') ? ['--cacert CERT.pem'] : []),
  ]
  const curl = ['curl', ...flags].join(' ')
  const put = (path: string, body: string): string =>
    `${curl} -X PUT ${url}/v1/tables/${path} ${JSON_HEADER} -d '${body}'`
  if (tables.includes('airports') && tables.includes('flights')) {
    return { what: 'store a row', line: put('airports/rows', AIRPORT) }
  }
  if (tables.length === 0) {
    const line = `${put('notes', '{"key":"id"}')} && ${put('notes/rows', NOTE)}`
    return { what: 'make a table and store a row', line }
  }
  return { what: 'see your tables', line: `${curl} ${url}/v1/tables` }
}
