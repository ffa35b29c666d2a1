import { errorCases } from '../../../conformance/error-cases.ts';
import { framework } from './hono.ts';

errorCases(framework);
