import { disconnectCases } from '../../../conformance/disconnect-cases.ts';
import { framework } from './hono.ts';

disconnectCases(framework);
