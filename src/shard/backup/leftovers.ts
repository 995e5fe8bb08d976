/**
 * Parts that no manifest lists: of a backup that was interrupted, or whose manifest was deleted.
 * Nobody reads them. Removed by whoever alone may put backups in the folder, when the next one begins.
 */
import type { Blob } from '../../blob/blob.ts'
import type { Catalog } from './catalog.ts'
import { backupOfPart, PARTS } from './manifest.ts'

/** `catalog` has every manifest of the folder: one that cannot be read may list any part. */
export async function removeLeftovers(blob: Blob, { manifests }: Catalog): Promise<void> {
  const backups = new Set(manifests.map(({ id }) => id))
  for (const name of await blob.names(PARTS)) {
    if (!backups.has(backupOfPart(name))) await blob.delete(name)
  }
}
