/** The routes that are of no table, as data: transactions, imports, tokens and the server. */
import {
  OF_CHANGES,
  OF_WRITES,
  TOKEN,
  WRITE,
  gone,
  ok,
  plain,
  type Answer,
  type Operation,
} from './openapi-operation.ts'
import { list, object, ref, text, type Json } from './openapi-schemas.ts'

export function serverOperations(): Operation[] {
  return [
    ...transactionOperations(),
    ...importOperations(),
    ...tokenOperations(),
    ...databaseOperations(),
    ...probeOperations(),
  ]
}

function transactionOperations(): Operation[] {
  const steps = object(
    {
      steps: list(ref('Step')),
      mode: { enum: ['commit', 'try'] },
      request: ref('Value'),
      value: ref('Value'),
    },
    'steps',
  )
  return [
    {
      method: 'post',
      path: '/v1/transactions',
      id: 'transaction',
      summary: 'Steps over any tables: all of them or none',
      more:
        'Each step has `table`, `op` and its arguments. With `expect`, the digest of the outcome ' +
        'that the caller saw when it tried, nothing is committed unless it is the same again. ' +
        'Steps that write, and an `Idempotency-Key`, need the scope `write`.',
      scope: 'read',
      parameters: WRITE,
      body: { schema: steps, example: { steps: [{ table: 'TABLE', op: 'count' }] } },
      answers: { 200: ok({ type: 'object' }) },
      problems: OF_CHANGES,
    },
  ]
}

function importOperations(): Operation[] {
  const id = '/v1/imports/{id}'
  const position: Json = { type: 'integer', minimum: 0 }
  const batch = object(
    {
      table: { type: 'string' },
      start: position,
      end: position,
      mode: { enum: ['put', 'insert'] },
      rows: list(object({ position, row: ref('Row') }, 'position', 'row')),
      unread: list(object({ position, reason: { type: 'string' } }, 'position')),
    },
    ...['table', 'start', 'end', 'mode', 'rows'],
  )
  const totals = object({ file: { type: 'string' }, table: { type: 'string' } }, 'file', 'table')
  const given = ok({ type: 'object' })
  return [
    {
      method: 'get',
      path: id,
      id: 'getImport',
      summary: 'How far an import has come',
      scope: 'write',
      answers: { 200: ok({ type: 'object' }, 'What is done of it.', []) },
      problems: [409, 413, 504],
    },
    {
      method: 'post',
      path: `${id}/batches`,
      id: 'importBatch',
      summary: 'One batch of an import, exactly once',
      scope: 'write',
      body: { schema: batch },
      answers: { 200: given },
      problems: OF_WRITES,
    },
    {
      method: 'post',
      path: `${id}/finish`,
      id: 'finishImport',
      summary: 'Turn the records of an import into one',
      scope: 'write',
      body: { schema: totals },
      answers: { 200: given },
      problems: OF_WRITES,
    },
    {
      method: 'delete',
      path: id,
      id: 'forgetImport',
      summary: 'Forget an import; its rows stay',
      scope: 'write',
      answers: { 204: gone },
      problems: [409, 413, 504],
    },
  ]
}

function tokenOperations(): Operation[] {
  const info: Json = {
    id: { type: 'string' },
    name: { type: 'string' },
    scopes: list({ enum: ['read', 'write', 'operate'] }),
    createdAt: ref('Date'),
    expiresAt: ref('Date'),
    rotatedAt: ref('Date'),
    previousUntil: ref('Date'),
  }
  const known = ['id', 'name', 'scopes', 'createdAt']
  const shown = object({ token: text('What clients send; shown this once.'), ...info }, ...known)
  const { name, scopes, expiresAt } = info as Record<string, Json>
  const wanted = object(
    { name: name as Json, scopes: scopes as Json, expiresAt: expiresAt as Json },
    'name',
    'scopes',
  )
  const path = '/v1/tokens'
  return [
    {
      method: 'post',
      path,
      id: 'createToken',
      summary: 'Make a token',
      scope: 'operate',
      body: { schema: wanted, example: { name: 'reader', scopes: ['read'] } },
      answers: { 201: ok(shown, 'The token.', ['Location']) },
      problems: OF_WRITES,
    },
    {
      method: 'get',
      path,
      id: 'listTokens',
      summary: 'All tokens, without their text',
      scope: 'operate',
      answers: { 200: ok(object({ tokens: list(object(info, ...known)) }, 'tokens'), 'All.', []) },
    },
    {
      method: 'post',
      path: `${path}/{id}/rotate`,
      id: 'rotateToken',
      summary: 'A new text for a token',
      scope: 'operate',
      body: {
        schema: object({ graceMs: { type: 'number', minimum: 0 } }),
        optional: true,
        example: { graceMs: 60_000 },
      },
      answers: { 200: ok(shown, 'The token.', []) },
      problems: OF_WRITES,
    },
    {
      method: 'delete',
      path: `${path}/{id}`,
      id: 'revokeToken',
      summary: 'Revoke a token',
      scope: 'operate',
      answers: { 204: { description: 'Done.' } },
      problems: [404, 409, 413, 504],
    },
  ]
}

/** Of the whole database. */
function databaseOperations(): Operation[] {
  return [
    {
      method: 'get',
      path: '/v1/status',
      id: 'status',
      summary: 'What the database is, and how it is',
      scope: 'read',
      answers: { 200: ok({ type: 'object' }, 'The status.') },
    },
    {
      method: 'get',
      path: '/v1/cluster',
      id: 'cluster',
      summary: 'Nodes, log, what is survived now, what is wrong and what to do',
      more:
        'As this node sees it: nodes by their heartbeats, and what the servers of the log say of it. ' +
        'An embedded database is one node, without `log`.',
      scope: 'read',
      answers: { 200: ok(clusterStatus(), 'How it is now.', []) },
    },
    {
      method: 'post',
      path: '/v1/check',
      id: 'check',
      summary: 'Whether what is stored is what was written, down to the last key',
      more:
        'Reads everything, so it may take long. The status is 200 whatever is found: `ok` says it. ' +
        'One runs at a time; another one is 429.',
      scope: 'operate',
      answers: { 200: ok(checkReport(), 'What was found.', []) },
    },
    {
      method: 'post',
      path: '/v1/upkeep',
      id: 'upkeep',
      summary: 'Do now what is done in the background',
      more: 'Expiry, trimming and cleaning up; work of a changed definition that failed is tried again.',
      scope: 'operate',
      answers: { 204: gone },
      problems: OF_WRITES,
    },
    {
      method: 'post',
      path: '/v1/backup',
      id: 'backup',
      summary: 'A backup as a stream',
      scope: 'operate',
      parameters: ['backupAfter'],
      answers: {
        200: {
          description: 'The archive.',
          schema: { type: 'string', contentMediaType: 'application/octet-stream' },
          type: 'application/octet-stream',
        },
      },
      problems: [404, 409, 410],
    },
  ]
}

function clusterStatus(): Json {
  const number: Json = { type: 'number', minimum: 0 }
  const string: Json = { type: 'string' }
  const truth: Json = { type: 'boolean' }
  const node = {
    ...{ id: string, name: string, isSelf: truth, version: string, startedAt: ref('Date') },
    state: { enum: ['alive', 'suspect', 'dead', 'halted'] },
    ...{ position: number, lag: number, silentMs: number, suspicion: number },
  }
  const told = {
    stalenessMs: number,
    url: string,
    halted: object({ code: string, message: string }),
  }
  const server = object({ name: string, isLeader: truth, isCurrent: truth })
  const sizes = { lastPosition: number, bytes: number, maxBytes: number }
  const log = { name: string, leader: string, servers: list(server), ...sizes, problem: string }
  const status = {
    kind: { enum: ['embedded', 'cluster'] },
    ...{ identity: string, version: string, durability: string, shards: number, copies: number },
    nodes: list(object({ ...node, ...told }, ...Object.keys(node))),
    survives: object({ nodes: number, servers: number, text: string }, 'nodes', 'text'),
    problems: list(object({ what: string, next: string }, 'what', 'next')),
  }
  return object({ ...status, log: object(log) }, ...Object.keys(status))
}

function checkReport(): Json {
  const number: Json = { type: 'integer', minimum: 0 }
  const problem = object({ where: { type: 'string' }, what: { type: 'string' } }, 'where', 'what')
  const counts = { position: number, rows: number, indexEntries: number, entries: number }
  const report = { ok: { type: 'boolean' }, ...counts, problems: list(problem) }
  return object({ ...report, problemCount: number }, ...Object.keys(report), 'problemCount')
}

function probeOperations(): Operation[] {
  const probe = (path: string, id: string, summary: string): Operation => ({
    method: 'get',
    path,
    id,
    summary,
    scope: 'none',
    answers: { 200: plain('Yes.'), ...(id === 'readyz' ? { 503: plain('Not now.') } : {}) },
  })
  const page = (description: string): Answer => ({ ...plain(description), type: 'text/html' })
  return [
    {
      method: 'get',
      path: '/v1/openapi.json',
      id: 'openapi',
      summary: 'This description, made from the tables there are now',
      scope: 'read',
      parameters: ['IfNoneMatch'],
      answers: {
        200: ok({ type: 'object' }, 'An OpenAPI 3.1 document.', [...TOKEN, 'ETag']),
        304: { description: 'The document has one of the tags given.', headers: ['ETag'] },
      },
    },
    {
      method: 'get',
      path: '/docs',
      id: 'docs',
      summary: 'The same as a page',
      scope: 'none',
      answers: { 200: page('The page.') },
    },
    {
      method: 'get',
      path: '/',
      id: 'home',
      summary: 'Leads to /docs',
      scope: 'none',
      answers: { 302: { description: 'To /docs.', headers: ['Location'] } },
    },
    probe('/livez', 'livez', 'Whether the process is alive'),
    probe('/readyz', 'readyz', 'Whether requests can be served'),
    probe('/startupz', 'startupz', 'Whether it has started'),
    {
      method: 'get',
      path: '/metrics',
      id: 'metrics',
      summary: 'Counts and gauges for Prometheus',
      scope: 'read',
      answers: { 200: plain('The metrics.') },
    },
  ]
}
