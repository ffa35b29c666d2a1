import type { RequestDb } from '@sqlite-pool/core';

declare global {
  namespace Express {
    interface Request {
      readonly audit: RequestDb;
    }
  }
}
