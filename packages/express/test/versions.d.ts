/** Only what the tests use of them; their types are those of another copy. */
declare module 'express-4.16' {
  import type { RequestHandler } from 'express';

  const express: { (): never; json(): RequestHandler };
  export default express;
}
declare module 'express-5.0' {
  import type { RequestHandler } from 'express';

  const express: { (): never; json(): RequestHandler };
  export default express;
}
