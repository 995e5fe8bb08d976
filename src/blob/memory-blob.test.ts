import { systemEnv } from '../core/system-env.ts'
import { blobContract } from './blob.contract.ts'
import { openMemoryBlob } from './memory-blob.ts'

blobContract('memory blob', async () => ({ blob: openMemoryBlob(systemEnv) }))
