/** The upload page as a person uses it, in a real Chromium, over a proxy that writes down every request. */
import assert from 'node:assert/strict'
import { createHash, createHmac } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, describe, test } from 'node:test'
import type { Browser } from 'playwright-core'
import { freshDataDir, type RunningService, startService } from '../support/service.ts'
import { freshBucket, testServices } from '../support/services.ts'
import { openBrowser, openPage, type UploadPage } from './support/browser.ts'
import { ofMethod, type Recorded, type Recorder, recorderTo } from './support/recorder.ts'
import { eventually, sampleBytes } from './support/tus.ts'

const MIB = 1024 * 1024
const FILM = sampleBytes(6 * MIB + 4321, 'page-film')
const NOTES = sampleBytes(3000, 'page-notes')
const SECRET = 'a secret of thirty-two bytes or more'

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

async function downloaded(href: string | null): Promise<string> {
  assert.ok(href, 'a row without a link')
  const answer = await fetch(href)
  assert.equal(answer.status, 200)
  return sha256(new Uint8Array(await answer.arrayBuffer()))
}

/** A token as an identity provider would sign it with HS256. */
function token(claims: object): string {
  const [head, body] = [
    { alg: 'HS256', typ: 'JWT' },
    { exp: Math.floor(Date.now() / 1000) + 600, ...claims },
  ].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
  const signature = createHmac('sha256', SECRET).update(`${head}.${body}`).digest('base64url')
  return `${head}.${body}.${signature}`
}

describe('the upload page', () => {
  let browser: Browser
  let service: RunningService
  let dir: string
  const at = (name: string): string => join(dir, name)
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'page-files-'))
    await Promise.all([
      writeFile(at('film.mp4'), FILM),
      writeFile(at('notes.txt'), NOTES),
      writeFile(at('setup.exe'), NOTES),
      writeFile(at('too-long.bin'), Buffer.alloc(8 * MIB + 1)),
    ])
    ;[browser, service] = await Promise.all([openBrowser(), serve({ HOOKS_MODULE: 'hooks/example.ts' })])
  })
  after(async () => {
    await browser?.close()
    for (const end of ending.splice(0).reverse()) await end()
    await rm(dir, { recursive: true, force: true })
  })
  /** What ends with a test, and what ends with the file. */
  const closing: (() => Promise<unknown>)[] = []
  const ending: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })

  async function serve(env: Record<string, string>): Promise<RunningService> {
    const data = await freshDataDir()
    ending.push(data.remove)
    const limits = { CHUNK_SIZE: `${MIB}`, MAX_FILE_SIZE: `${8 * MIB}` }
    const service = await startService({ mode: 'embedded', env: { DATA_DIR: data.dir, ...limits, ...env } })
    ending.push(() => service.stop())
    return service
  }

  async function visit(service: RunningService): Promise<{ recorder: Recorder } & UploadPage> {
    const recorder = await recorderTo(() => service.url)
    closing.push(() => recorder.close())
    const opened = await openPage(browser, recorder.origin)
    closing.push(() => opened.page.context().close())
    return { recorder, ...opened }
  }

  test('several files, paused, resumed, resumed again after a reload, with links and checksums at the end', async () => {
    const { recorder, page, offences, uplink, choose, begin, row } = await visit(service)
    /** PATCHes of the film, and where its bytes are acknowledged. */
    const patches = (): Recorded[] => ofMethod(recorder, 'PATCH').filter(({ path }) => path === filmPath())
    const filmPath = (): string => {
      const post = ofMethod(recorder, 'POST').find(({ headers }) => headers['upload-length'] === `${FILM.length}`)
      return new URL(post?.answer.location ?? 'http://none/', recorder.origin).pathname
    }
    const acknowledged = (): number =>
      Math.max(0, ...patches().map(({ answer }) => Number(answer['upload-offset'] ?? 0)))

    await uplink(1.5 * MIB)
    await choose(at('film.mp4'), at('notes.txt'))
    await begin()
    await eventually(async () => acknowledged() >= MIB, 'the first chunk is acknowledged')

    await page.getByRole('button', { name: 'Pause', exact: true }).click()
    await page.getByText('Paused').first().waitFor()
    const paused = patches().length
    const there = acknowledged()
    // Nothing happening has no event; the next chunk would have begun by now.
    await page.waitForTimeout(700)
    assert.equal(patches().length, paused, 'a paused upload goes on')
    assert.ok(there < FILM.length, 'it was through before the pause')

    await page.getByRole('button', { name: 'Resume', exact: true }).click()
    await eventually(async () => acknowledged() >= there + MIB, 'another chunk is acknowledged')
    assert.ok(Number(patches()[paused]?.headers['upload-offset']) >= there, 'the pause lost bytes')

    const beforeReload = patches().length
    await page.reload()
    await row('film.mp4')
      .getByText(/Not finished: [1-9]\d? % of 6 MB arrived/)
      .waitFor()
    assert.ok(acknowledged() < FILM.length, 'it was through before the reload')
    const kept = Number(ofMethod(recorder, 'HEAD').at(-1)?.answer['upload-offset'])
    assert.ok(kept >= there + MIB)

    await choose(at('film.mp4'))
    await row('film.mp4').getByText('goes on where it stopped').waitFor()
    await uplink(-1)
    await begin()
    for (const [name, bytes] of [
      ['film.mp4', FILM],
      ['notes.txt', NOTES],
    ] as const) {
      await row(name).getByText(sha256(bytes)).waitFor()
      assert.equal(await downloaded(await row(name).getByRole('link').getAttribute('href')), sha256(bytes))
    }
    assert.equal(await page.locator('#rows li').count(), 2)
    assert.equal(ofMethod(recorder, 'POST').length, 2, 'a resumed file was created anew')
    // It asks once more before it sends; by then the last bytes of the broken request may have been added.
    const accepted = patches()
      .slice(beforeReload)
      .filter((one) => one.status === 204)
    const resumedAt = Number(accepted[0]?.headers['upload-offset'])
    assert.ok(resumedAt >= kept, `resumed at ${resumedAt}, although ${kept} were kept`)
    const sent = accepted.reduce((sum, one) => sum + one.sent, 0)
    assert.equal(sent, FILM.length - resumedAt)
    assert.deepEqual(offences, [])
  })

  test('what goes wrong is said in the words of the service', async () => {
    const { recorder, page, offences, choose, begin, row } = await visit(service)
    await page.getByText('Up to 8 MB a file').waitFor()
    await choose(at('too-long.bin'))
    await page
      .getByText(/exceeds maximum allowed size of 8(\.0)? MB/)
      .first()
      .waitFor()
    assert.equal(ofMethod(recorder, 'POST').length, 0)

    await choose(at('setup.exe'), at('notes.txt'))
    await begin()
    await row('setup.exe').getByText('files that end in .exe are not taken').waitFor()
    await row('notes.txt').getByText(sha256(NOTES)).waitFor()
    await page.reload()
    await row('notes.txt').getByText(sha256(NOTES)).waitFor()
    assert.equal(await row('setup.exe').count(), 0)
    assert.deepEqual(offences, [])
  })

  test('with tokens: asks for one, keeps it in the tab, sends it, and downloads with it', async () => {
    const { recorder, page, offences, choose, begin, row } = await visit(
      await serve({ AUTH_MODE: 'jwt', JWT_SECRET: SECRET }),
    )
    await choose(at('notes.txt'))
    await begin()
    await page.getByText('Paste an access token first.').first().waitFor()
    assert.equal(ofMethod(recorder, 'POST').length, 0)

    const useToken = async (text: string): Promise<void> => {
      await page.getByLabel('Access token').fill(text)
      await page.getByRole('button', { name: 'Use token' }).click()
    }
    await useToken('nonsense')
    await begin()
    await row('notes.txt').getByText('paste a valid access token').waitFor()

    await useToken(token({ sub: 'ann', tenant: 'acme' }))
    await page.getByRole('button', { name: 'Retry' }).click()
    await row('notes.txt').getByText(sha256(NOTES)).waitFor()
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      row('notes.txt').getByRole('button', { name: 'Download' }).click(),
    ])
    assert.equal(download.suggestedFilename(), 'notes.txt')
    const chunks: Buffer[] = []
    for await (const chunk of await download.createReadStream()) chunks.push(Buffer.from(chunk))
    assert.equal(sha256(Buffer.concat(chunks)), sha256(NOTES))
    assert.deepEqual(await page.evaluate(() => Object.keys(localStorage)), [])
    assert.deepEqual(offences, [])
  })

  test('with tokens and links to the store: the page may follow them', async () => {
    const [s3] = testServices().s3
    assert.ok(s3)
    const bucket = await freshBucket(s3)
    ending.push(bucket.cleanup)
    const store = {
      STORAGE: 's3',
      S3_ENDPOINT: s3.endpoint,
      S3_BUCKET: bucket.name,
      S3_ACCESS_KEY_ID: s3.accessKeyId,
      S3_SECRET_ACCESS_KEY: s3.secretAccessKey,
      DOWNLOADS: 'redirect',
    }
    const { page, offences, choose, begin, row } = await visit(
      await serve({ AUTH_MODE: 'jwt', JWT_SECRET: SECRET, ...store }),
    )
    await page.getByLabel('Access token').fill(token({ sub: 'ann', tenant: 'acme' }))
    await page.getByRole('button', { name: 'Use token' }).click()
    await choose(at('notes.txt'))
    await begin()
    await row('notes.txt').getByText(sha256(NOTES)).waitFor()
    const fetched: string[] = []
    page.on('response', (answer) => fetched.push(`${answer.status()} ${new URL(answer.url()).origin}`))
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      row('notes.txt').getByRole('button', { name: 'Download' }).click(),
    ])
    const chunks: Buffer[] = []
    for await (const chunk of await download.createReadStream()) chunks.push(Buffer.from(chunk))
    assert.equal(sha256(Buffer.concat(chunks)), sha256(NOTES))
    assert.ok(fetched.includes(`200 ${new URL(s3.endpoint).origin}`), fetched.join())
    // The one address elsewhere that it may talk to.
    assert.deepEqual(
      offences.map((url) => url.split('/', 4).join('/')),
      [`${s3.endpoint}/${bucket.name}`],
    )
  })
})
