/** `holdfast config show`: each setting, its value, and where that comes from. */
import { EXIT } from '../exit-codes.ts'
import type { Setting } from '../settings/resolve.ts'
import type { Shell } from '../shell.ts'
import { printTable } from '../text-table.ts'

export async function configShowCommand(
  shell: Shell,
  { origin = false }: { readonly origin?: boolean },
): Promise<number> {
  const settings: Setting[] = [...shell.settings.settings, ...shell.outputSettings]
  if (shell.json) {
    await shell.outJson(
      Object.fromEntries(settings.map(({ name, value, origin }) => [name, { value, origin }])),
    )
    return EXIT.ok
  }
  const rows = settings.map(({ name, value, origin: from }) => ({
    setting: name,
    value,
    ...(origin && { origin: from }),
  }))
  await printTable(shell, rows)
  return EXIT.ok
}
