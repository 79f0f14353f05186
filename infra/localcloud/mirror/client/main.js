// Shows which release serves this page, as the server itself reports it.
fetch('/api/v4/config/client?format=old')
    .then((response) => response.json())
    .then((config) => {
        document.getElementById('version').textContent = config.BuildNumber;
    });
