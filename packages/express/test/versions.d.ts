/** Only what the tests use of them; their types are those of another copy. */
declare module 'express-4.16' {
  const express: { (): never; json(): import('express').RequestHandler };
  export default express;
}
declare module 'express-5.0' {
  const express: { (): never; json(): import('express').RequestHandler };
  export default express;
}
