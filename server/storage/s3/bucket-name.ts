/** Which bucket a tenant has: S3_BUCKET with `{tenant}` in it. */
import { UploadError } from '../../uploads/errors.ts'

const TENANT = '{tenant}'
/** S3's naming rules; what begins or ends like this is taken for something else. */
const NAME = /^[a-z0-9](?:[a-z0-9.-]{1,61})[a-z0-9]$/
const RESERVED =
  /^(?:xn--|sthree-|amzn-s3-demo-)|\.\.|^\d+\.\d+\.\d+\.\d+$|(?:-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)$/

/** Has each tenant a bucket of its own? */
export function isPerTenant(template: string): boolean {
  return template.includes(TENANT)
}

/** The tenant's bucket. Throws `store_unavailable` when the name would be none that S3 takes. */
export function bucketOf(template: string, tenant: string): string {
  if (!isPerTenant(template)) return template
  const name = template.replaceAll(TENANT, tenant)
  if (NAME.test(name) && !RESERVED.test(name)) return name
  throw new UploadError(
    'store_unavailable',
    `Tenant "${tenant}" would have the bucket "${name}" (S3_BUCKET=${template}), which is no name that S3 takes: 3 to 63 ` +
      'lower-case letters, digits, "-" and ".", with a letter or digit at both ends.',
  )
}
