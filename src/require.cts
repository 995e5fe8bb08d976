// What `require('holdfast')` gets: the package is ES modules only, and this says so where Node
// would otherwise fail in a way that does not name the cure.

const esmOnly = new Error(
  'holdfast is an ES module and cannot be loaded with require(). ' +
    "Use `import { open } from 'holdfast'` in an ES module (a .mjs file, or a package with " +
    '"type": "module" in its package.json), or `await import(\'holdfast\')` from CommonJS.',
)

throw Object.assign(esmOnly, { name: 'HoldfastError', code: 'EsmOnly', kind: 'rejected' })
