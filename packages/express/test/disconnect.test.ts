import { disconnectCases } from '../../../conformance/disconnect-cases.ts';
import { frameworks } from './express.ts';

frameworks.forEach(disconnectCases);
