/**
 * Loaded before the service's own code (`node --import`): counts what it does to the file system below DATA_DIR, and
 * ends the process by SIGKILL right before one of these steps, in the middle of one, or by a simulated power cut. The
 * service knows nothing of it. FS_FAULTS is the unix socket on which a test says what shall happen (control.ts).
 *
 * A step is each change below `store` and `records`, and each sync of a file of the database: what PGlite writes between
 * two syncs is Postgres' own affair, but a power cut takes it back too.
 */
import { rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { syncBuiltinESMExports } from 'node:module'
import { resolve } from 'node:path'
import { isMainThread } from 'node:worker_threads'
import { Disk } from './disk.ts'
import { replaceAsync, replaceSync } from './replace.ts'
import { type Blow, Watch } from './watch.ts'

const { FS_FAULTS: socket, DATA_DIR: dir } = process.env

if (isMainThread && socket !== undefined && dir !== undefined) {
  const watch = new Watch(resolve(dir), new Disk(`${socket}.graves`))
  rmSync(socket, { force: true })
  replaceSync(watch)
  await replaceAsync(watch)
  syncBuiltinESMExports()
  listen(watch, socket)
}

function listen(watch: Watch, path: string): void {
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://localhost')
    const blow = BLOWS.find((each) => each === searchParams.get('blow'))
    if (pathname === '/begin') watch.begin(blow ? { step: Number(searchParams.get('step')), blow } : null)
    response.end(JSON.stringify(watch.steps))
  })
  server.listen(path)
  server.unref()
}

const BLOWS: readonly Blow[] = ['kill', 'torn', 'cut-all', 'cut-bytes']
