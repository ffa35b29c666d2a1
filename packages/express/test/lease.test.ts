import { leaseCases } from '../../../conformance/lease-cases.ts';
import { frameworks } from './express.ts';

frameworks.forEach(leaseCases);
