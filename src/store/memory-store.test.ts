import { systemEnv } from '../core/system-env.ts'
import { openMemoryStore } from './memory-store.ts'
import { storeContract } from './store.contract.ts'

storeContract('memory store', async () => ({ store: openMemoryStore(systemEnv) }))
