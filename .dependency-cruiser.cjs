// Import direction, as in DESIGN: each room lists the rooms it may import. A room that does not
// exist yet costs nothing; one that is not listed may import nothing (test/tidy.test.ts names it).

const foundation = ['core', 'observe']
const ports = [...foundation, 'store', 'log', 'bus', 'blob']

/** Room -> the other rooms under src/ that it may import. @type {Record<string, string[]>} */
const mayImport = {
  core: [],
  observe: ['core'],
  store: foundation,
  log: [...foundation, 'store'],
  bus: foundation,
  blob: foundation,
  cluster: ports,
  shard: [...ports, 'cluster'],
  table: [...ports, 'cluster', 'shard'],
  work: [...ports, 'cluster', 'shard', 'table'],
  server: [...ports, 'cluster', 'shard', 'table', 'work'],
  client: ['core', 'table'],
  cli: [...ports, 'cluster', 'shard', 'table', 'work', 'server', 'client', 'verify'],
  sim: [...ports, 'cluster', 'shard', 'table', 'work'],
  // It runs the simulator's workloads and checkers against real processes: sim is a part of it.
  verify: [...ports, 'cluster', 'shard', 'table', 'work', 'server', 'client', 'sim'],
}

/** Files directly in src/ that a room may import besides. @type {Record<string, string[]>} */
const mayImportFiles = {
  cli: ['open', 'index', 'backup', 'server', 'client'],
  verify: ['open', 'index', 'client'],
}

const adapters = '^src/.+/(lmdb|jetstream|nats|system|folder)-[^/]+$'
const tests = '[.](test|contract)[.]ts$'

const roomRules = Object.entries(mayImport).map(([room, rooms]) => {
  const files = (mayImportFiles[room] ?? []).map((file) => `${file}[.]ts$`)
  const allowed = [...[room, ...rooms].map((name) => `${name}/`), ...files]
  return {
    name: `room-${room}`,
    comment: `src/${room} may import only: ${[...rooms, ...files].join(', ') || 'no other room'}`,
    severity: 'error',
    from: { path: `^src/${room}/`, pathNot: tests },
    to: { path: '^src/', pathNot: `^src/(${allowed.join('|')})` },
  }
})

module.exports = {
  forbidden: [
    ...roomRules,
    {
      name: 'client-has-types-of-tables-alone',
      comment: 'browsers load src/client: of other rooms than core it may import types, never code',
      severity: 'error',
      from: { path: '^src/client(/|[.]ts$)', pathNot: tests },
      to: {
        path: '^src/',
        pathNot: '^src/(client|core)/',
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'strong-not-eventual',
      comment: 'strong and eventual tables share nothing; src/table/ above them chooses',
      severity: 'error',
      from: { path: '^src/table/strong/' },
      to: { path: '^src/table/eventual/' },
    },
    {
      name: 'eventual-not-strong',
      comment: 'strong and eventual tables share nothing; src/table/ above them chooses',
      severity: 'error',
      from: { path: '^src/table/eventual/' },
      to: { path: '^src/table/strong/' },
    },
    {
      name: 'adapters-by-open-alone',
      comment:
        'take the port as an argument; only src/open.ts, src/client.ts and src/verify name adapters',
      severity: 'error',
      from: {
        path: '^src/',
        pathNot: [adapters, '^src/(open|client)[.]ts$', '^src/verify/', tests],
      },
      to: { path: adapters },
    },
    {
      name: 'adapters-by-tests-of-their-room',
      comment: 'a test of a room may name the adapters of that room alone; cli tests may name any',
      severity: 'error',
      from: { path: '^src/([^/]+)/.*[.](test|contract)[.]ts$', pathNot: '^src/cli/' },
      to: { path: adapters, pathNot: ['^src/$1/', '/system-[^/]+$'] },
    },
    {
      name: 'sim-by-tests-alone',
      comment:
        'the simulator is published as holdfast/testing; besides, src/verify runs its workloads',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/(sim|verify)/', '^src/testing[.]ts$', tests] },
      to: { path: '^src/sim/' },
    },
    {
      name: 'tests-by-tests-alone',
      comment: 'published code does not import tests or contract suites',
      severity: 'error',
      from: { path: '^src/', pathNot: [tests, '^src/testing[.]ts$'] },
      to: { path: tests },
    },
    {
      name: 'one-barrel',
      comment: 'import the file itself; src/index.ts is the only barrel, and for users',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/(cli|verify)/', tests] },
      to: { path: '(^|/)index[.]ts$', pathNot: 'node_modules' },
    },
    {
      name: 'open-is-the-root',
      comment: 'src/open.ts composes the rooms, so no room imports it',
      severity: 'error',
      from: {
        path: '^src/',
        pathNot: ['^src/(cli|verify)/', '^src/(index|backup|server|adopt|refound)[.]ts$', tests],
      },
      to: { path: '^src/open[.]ts$' },
    },
    {
      name: 'roots-below-cli',
      comment: 'the files directly in src/ do not import the command, or what runs real processes',
      severity: 'error',
      from: { path: '^src/[^/]+$' },
      to: { path: '^src/(cli|verify)/' },
    },
    {
      name: 'lmdb-in-its-adapter',
      comment: 'only lmdb-* files know lmdb; the rest of the code has the Store port',
      severity: 'error',
      from: { path: '^src/', pathNot: '/lmdb-[^/]+$' },
      to: { path: 'node_modules/lmdb/' },
    },
    {
      name: 'nats-in-its-adapters',
      comment:
        'only jetstream-* and nats-* files know NATS; the rest has the Log, Bus and Blob ports',
      severity: 'error',
      from: { path: '^src/', pathNot: '/(jetstream|nats)-[^/]+$' },
      to: { path: 'node_modules/(@nats-io|nats)/' },
    },
    {
      name: 'no-development-packages',
      comment: 'published code imports only what package.json lists under dependencies',
      severity: 'error',
      from: { path: '^src/', pathNot: tests },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'no-cycles',
      comment: 'no cycles, those of types alone included',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'resolvable',
      comment: 'the import names nothing that exists',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
      extensions: ['.ts', '.cts', '.mjs', '.js', '.json'],
    },
  },
}
