import { errorCases } from '../../../conformance/error-cases.ts';
import { frameworks } from './express.ts';

frameworks.forEach(errorCases);
