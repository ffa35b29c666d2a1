import { errorCases } from '../../../conformance/error-cases.ts';
import { framework } from './fastify.ts';

errorCases(framework);
