throw new Error('a file that begins with _ is not loaded');
