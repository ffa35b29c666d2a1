import { disconnectCases } from '../../../conformance/disconnect-cases.ts';
import { framework } from './fastify.ts';

disconnectCases(framework);
