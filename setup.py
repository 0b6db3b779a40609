"""Turns settings.ini, the one place for names, versions and addresses, into package metadata."""
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

root = Path(__file__).parent
config = ConfigParser(delimiters=['='])
config.read(root/'settings.ini', encoding='utf-8')
cfg = config['DEFAULT']

pythons = ['3.10', '3.11', '3.12', '3.13']
statuses = ['1 - Planning', '2 - Pre-Alpha', '3 - Alpha', '4 - Beta', '5 - Production/Stable', '6 - Mature', '7 - Inactive']
readme = root/'README.md'
long_description = readme.read_text(encoding='utf-8') if readme.exists() else cfg['description']
for folder, view in dict(nbs='blob', results='blob', index_files='raw').items():  # README's links, for readers elsewhere
    long_description = long_description.replace(f']({folder}/', f"]({cfg['git_url']}/{view}/{cfg['branch']}/{folder}/")

class PackageWithModels(build_py):
    "The package and, in it, the networks of models/ under a megabyte (the CNNs) with their cards; a checkout uses models/ itself"
    def run(self):
        super().run()
        if getattr(self, 'editable_mode', False): return
        small = [w for w in sorted((root/'models').glob('*.safetensors')) if w.stat().st_size < 2**20]
        target = Path(self.build_lib)/cfg['lib_path']/'models'
        for file in [f for w in small for f in (w, w.with_suffix('.json'))]:
            target.mkdir(parents=True, exist_ok=True)
            self.copy_file(str(file), str(target/file.name))

setup(
    cmdclass=dict(build_py=PackageWithModels),
    name=cfg['lib_name'],
    version=cfg['version'],
    description=cfg['description'],
    long_description=long_description,
    long_description_content_type='text/markdown',
    author=cfg['author'],
    license_expression='Apache-2.0',
    license_files=['LICENSE'],
    keywords=cfg['keywords'].split(),
    url=cfg['git_url'],
    project_urls={'Documentation': cfg['doc_url'], 'Source': cfg['git_url'], 'Issues': f"{cfg['git_url']}/issues"},
    packages=find_packages(include=[cfg['lib_path'], f"{cfg['lib_path']}.*"]),
    package_data={cfg['lib_path']: ['data/*', 'data/**/*']},
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg['requirements'].split(),
    extras_require={  # an extra is a setting `NAME_requirements`; `dev` has everything to edit, test and build the docs
        name.removesuffix('_requirements'): cfg[name].split() for name in cfg if name.endswith('_requirements')},
    entry_points={
        'console_scripts': cfg['console_scripts'].split(),
        'nbdev': [f"{cfg['lib_path']}={cfg['lib_path']}._modidx:d"]},
    classifiers=[
        f"Development Status :: {statuses[int(cfg['status']) - 1]}",
        f"Intended Audience :: {cfg['audience']}",
        f"Natural Language :: {cfg['language']}",
        'Operating System :: POSIX',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3 :: Only',
        *[f'Programming Language :: Python :: {v}' for v in pythons],
        'Topic :: Scientific/Engineering :: Artificial Intelligence'],
    zip_safe=False,
    options=dict(editable_wheel=dict(mode='compat')),  # a path, so that a checkout's parent folder doesn't hide the package
)
