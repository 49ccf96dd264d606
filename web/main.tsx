/** The chat page. */
import { render } from 'preact';
import { createPageState } from './page-state.js';
import { Page } from './ui/page.js';

const host = document.getElementById('page');
if (host !== null) render(<Page state={createPageState()} />, host);
